//! The end of a session, at its user's wish.

use http::Uri;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::endpoint::{TokenEndpoint, parse_as};
use crate::grant::members::Members;
use crate::grant::refusal;
use crate::grant::request::Form;
use crate::token::{AccessToken, RefreshToken};
use crate::transport::{Answer, Outgoing, Transport};

/// Where a session is ended.
#[derive(Clone)]
pub(super) enum Ending {
    /// Keycloak's way: the refresh token to the logout endpoint.
    Logout(Uri),
    /// Token revocation (RFC 7009).
    Revocation(Uri),
}

impl Ending {
    pub(super) fn logout(endpoint: &str) -> Result<Self, ConfigError> {
        parse_as("logout_endpoint", endpoint).map(Self::Logout)
    }

    pub(super) fn revocation(endpoint: &str) -> Result<Self, ConfigError> {
        parse_as("revocation_endpoint", endpoint).map(Self::Revocation)
    }
}

impl<T: Transport> TokenEndpoint<T> {
    /// Ends the session of these tokens.
    pub(super) async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        let config = |what| TokenError::new(TokenErrorKind::Config, what);
        let form = Form::of(&self.client);
        let (uri, form) = match (&self.ending, refresh_token, access_token) {
            (None, ..) => {
                return Err(config("the grant has no logout or revocation endpoint"));
            }
            (Some(Ending::Logout(uri)), Some(refresh), _) => {
                (uri, form.secret("refresh_token", refresh.secret()))
            }
            (Some(Ending::Logout(_)), None, _) => {
                return Err(config("a logout needs a refresh token, and there is none"));
            }
            (Some(Ending::Revocation(uri)), Some(refresh), _) => {
                let form = form.secret("token", refresh.secret());
                (uri, form.public("token_type_hint", "refresh_token"))
            }
            (Some(Ending::Revocation(uri)), None, Some(access)) => {
                let form = form.secret("token", access.secret());
                (uri, form.public("token_type_hint", "access_token"))
            }
            (Some(Ending::Revocation(_)), None, None) => return Ok(()),
        };
        let form = form.optional("client_secret", self.client.form_secret());
        self.post(uri, form, read).await
    }
}

fn read(answer: &Answer, request: &Outgoing<'_>) -> Result<(), TokenError> {
    if answer.status.is_success() {
        return Ok(());
    }
    let members = Members::parse(&answer.body);
    let code = members.as_ref().ok().and_then(Members::code);
    Err(refusal::error(answer.status, code, |text| {
        request.echoes(text)
    }))
}
