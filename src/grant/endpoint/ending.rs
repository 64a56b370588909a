//! The end of a session, at its user's wish.

use http::Uri;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::answer::members::Members;
use crate::grant::answer::refusal;
use crate::grant::endpoint::address::parse_as;
use crate::grant::endpoint::metadata::Metadata;
use crate::grant::endpoint::token_endpoint::TokenEndpoint;
use crate::token::{AccessToken, RefreshToken};
use crate::transport::{Answer, Outgoing, Transport};

/// Where a session is ended.
#[derive(Clone)]
pub(in crate::grant) enum Ending {
    /// Keycloak's way: the refresh token to the logout endpoint.
    Logout(Uri),
    /// Token revocation (RFC 7009).
    Revocation(Uri),
}

impl Ending {
    pub(in crate::grant) fn logout(endpoint: &str) -> Result<Self, ConfigError> {
        parse_as("logout_endpoint", endpoint).map(Self::Logout)
    }

    pub(in crate::grant) fn revocation(endpoint: &str) -> Result<Self, ConfigError> {
        parse_as("revocation_endpoint", endpoint).map(Self::Revocation)
    }

    /// What an issuer offers: the way that is a standard if it can be chosen.
    fn known(metadata: &Metadata, by_certificate: bool) -> Option<Self> {
        let alias = metadata.mtls_revocation.as_ref().filter(|_| by_certificate);
        let revocation = alias.or(metadata.revocation.as_ref());
        let logout = || metadata.logout.clone().map(Self::Logout);
        revocation.cloned().map(Self::Revocation).or_else(logout)
    }
}

impl<T: Transport> TokenEndpoint<T> {
    /// Ends the session of these tokens.
    pub(in crate::grant) async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        let config = |what| TokenError::new(TokenErrorKind::Config, what);
        let ending = match &self.ending {
            Some(ending) => Some(ending.clone()),
            None => {
                let metadata = self.metadata().await?;
                let by_certificate = self.client.auth.is_tls();
                metadata.and_then(|known| Ending::known(&known, by_certificate))
            }
        };
        let form = self.client.form()?;
        let (uri, form) = match (&ending, refresh_token, access_token) {
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
        // An assertion is for the server, which the token endpoint stands for.
        let form = self.client.prove(form, &self.token_uri().await?).await?;
        let whom = match &ending {
            Some(Ending::Logout(_)) => "the logout endpoint",
            _ => "the revocation endpoint",
        };
        self.post(uri, whom, form, read).await
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
