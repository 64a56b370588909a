//! Ends a session: logout, and token revocation (RFC 7009).

use http::Uri;
use http::header::CONTENT_TYPE;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::endpoint::metadata::{Metadata, Revocation};
use crate::grant::endpoint::url::{self, EndpointUrl};
use crate::grant::params::{Form, Sent};
use crate::grant::response::body::{Members, without_byte_order_mark};
use crate::grant::response::error::{self, Refusable};
use crate::token::{AccessToken, RefreshToken};
use crate::transport::{EndpointRequest, EndpointResponse};

/// Where and how a session is ended.
#[derive(Clone)]
pub(in crate::grant) enum RevocationMethod {
    /// Posts the refresh token to Keycloak's logout endpoint.
    Logout(Uri),
    /// Posts the refresh token or the access token to a revocation endpoint.
    Revocation(Uri),
}

impl RevocationMethod {
    pub(in crate::grant) fn logout(endpoint: impl EndpointUrl) -> Result<Self, ConfigError> {
        url::parse("logout_endpoint", endpoint).map(Self::Logout)
    }

    pub(in crate::grant) fn revocation(endpoint: impl EndpointUrl) -> Result<Self, ConfigError> {
        url::parse("revocation_endpoint", endpoint).map(Self::Revocation)
    }

    /// Returns what an issuer offers; revocation, the standard, is preferred.
    ///
    /// # Errors
    ///
    /// Fails if it offers nothing usable.
    pub(super) fn of_issuer(metadata: &Metadata, by_certificate: bool) -> Result<Self, TokenError> {
        let alias = metadata.mtls_revocation.as_ref().filter(|_| by_certificate);
        if let Some(alias) = alias {
            return Ok(Self::Revocation(alias.clone()));
        }
        match &metadata.revocation {
            Some(Revocation::Endpoint(uri)) => Ok(Self::Revocation(uri.clone())),
            Some(Revocation::KeycloakLogout(uri)) => Ok(Self::Logout(uri.clone())),
            Some(Revocation::Elsewhere) => Err(TokenError::unsupported(
                "the issuer names a revocation endpoint of another origin, which gets no token: \
                 if it is the right one, set `revocation_endpoint`",
            )),
            None => Err(TokenError::unsupported(
                "the issuer names no revocation endpoint: set `revocation_endpoint` or \
                 `logout_endpoint`",
            )),
        }
    }

    /// Returns the endpoint's name for errors.
    pub(super) fn endpoint_name(&self) -> &'static str {
        match self {
            Self::Logout(_) => "the logout endpoint",
            Self::Revocation(_) => "the revocation endpoint",
        }
    }

    /// Returns the URL and the form to post, or `None` if there is no token to
    /// revoke.
    pub(super) fn request<'a>(
        &self,
        form: Form<'a>,
        access_token: Option<&'a AccessToken>,
        refresh_token: Option<&'a RefreshToken>,
    ) -> Result<Option<(&Uri, Form<'a>)>, TokenError> {
        Ok(Some(match (self, refresh_token, access_token) {
            (Self::Logout(uri), Some(refresh), _) => {
                (uri, form.secret("refresh_token", refresh.secret()))
            }
            (Self::Logout(_), None, _) => {
                let what = "a logout needs a refresh token, and there is none";
                return Err(TokenError::unsupported(what));
            }
            (Self::Revocation(uri), Some(refresh), _) => {
                let form = form.secret("token", refresh.secret());
                (uri, form.public("token_type_hint", "refresh_token"))
            }
            (Self::Revocation(uri), None, Some(access)) => {
                let form = form.secret("token", access.secret());
                (uri, form.public("token_type_hint", "access_token"))
            }
            (Self::Revocation(_), None, None) => return Ok(None),
        }))
    }
}

/// Codes about a token that has ended already, for which the RFC wants a success (RFC
/// 7009, section 2.2).
const ALREADY_ENDED: [&str; 2] = ["invalid_token", "invalid_grant"];

/// Returns whether a response is a page for a browser.
fn is_page(response: &EndpointResponse) -> bool {
    let body = without_byte_order_mark(&response.body).trim_ascii_start();
    let value = response.headers.get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let value = value.unwrap_or_default().to_ascii_lowercase();
    // Ignores the type without a body: it is the default of many frameworks.
    body.starts_with(b"<") || (!body.is_empty() && value.contains("html"))
}

/// Reads the response; only a refusal matters, whatever its status. A page is a
/// failure too, because a login or a logout in a browser begins with one.
pub(super) fn read(
    response: &EndpointResponse,
    request: &EndpointRequest<'_>,
    sent: &Sent<'_>,
    client_hint: Option<&'static str>,
) -> Result<(), TokenError> {
    let refusable = Refusable {
        credentials: "token",
        client_hint,
    };
    let members = Members::parse(&response.headers, &response.body).ok();
    let members = members.as_ref();
    if response.status.is_success() && !is_page(response) {
        let code = members.and_then(Members::code);
        if code.is_none_or(|code| code.is_empty() || ALREADY_ENDED.contains(&code)) {
            return Ok(());
        }
    } else if response.status.is_success() {
        let what = format!(
            "{} answered with a page, so the session may not be ended",
            request.endpoint()
        );
        let error = TokenError::new(TokenErrorKind::InvalidResponse, what);
        return Err(error.with_response(response.status, None));
    }
    Err(error::read(response, members, request, sent, refusable))
}
