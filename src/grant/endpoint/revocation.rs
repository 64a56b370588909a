//! The end of a session, at its user's wish.

use http::Uri;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::endpoint::metadata::Metadata;
use crate::grant::endpoint::url::parse_as;
use crate::grant::params::Form;
use crate::grant::response::body::TokenResponseBody;
use crate::grant::response::error;
use crate::token::{AccessToken, RefreshToken};
use crate::transport::{EndpointRequest, EndpointResponse};

/// Where a session is ended.
#[derive(Clone)]
pub(in crate::grant) enum RevocationMethod {
    /// Keycloak's way: the refresh token to the logout endpoint.
    Logout(Uri),
    /// Token revocation (RFC 7009).
    Revocation(Uri),
}

impl RevocationMethod {
    pub(in crate::grant) fn logout(endpoint: &str) -> Result<Self, ConfigError> {
        parse_as("logout_endpoint", endpoint).map(Self::Logout)
    }

    pub(in crate::grant) fn revocation(endpoint: &str) -> Result<Self, ConfigError> {
        parse_as("revocation_endpoint", endpoint).map(Self::Revocation)
    }

    /// What an issuer offers: the way that is a standard if it can be chosen.
    pub(super) fn known(metadata: &Metadata, by_certificate: bool) -> Option<Self> {
        let alias = metadata.mtls_revocation.as_ref().filter(|_| by_certificate);
        let revocation = alias.or(metadata.revocation.as_ref());
        let logout = || metadata.logout.clone().map(Self::Logout);
        revocation.cloned().map(Self::Revocation).or_else(logout)
    }

    /// Whom an error names.
    pub(super) fn endpoint_name(&self) -> &'static str {
        match self {
            Self::Logout(_) => "the logout endpoint",
            Self::Revocation(_) => "the revocation endpoint",
        }
    }

    /// Where to post what; `None` if there is nothing to give up.
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
                return Err(TokenError::new(TokenErrorKind::Config, what));
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

/// Reads the answer, of which only a refusal matters.
pub(super) fn read(
    answer: &EndpointResponse,
    request: &EndpointRequest<'_>,
) -> Result<(), TokenError> {
    if answer.status.is_success() {
        return Ok(());
    }
    let members = TokenResponseBody::parse(&answer.body);
    let code = members.as_ref().ok().and_then(TokenResponseBody::code);
    Err(error::error(answer.status, code, |text| {
        request.echoes(text)
    }))
}
