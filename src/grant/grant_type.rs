//! What tells one grant from another, and the request that they share.

use zeroize::Zeroizing;

use crate::error::TokenError;
use crate::grant::endpoint::TokenEndpoint;
use crate::grant::params::Form;
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::Transport;

pub(crate) use self::sealed::GrantType;

/// The settings that all grants have.
#[derive(Debug)]
pub struct GrantConfig<T> {
    pub(super) endpoint: TokenEndpoint<T>,
    pub(super) scope: Option<String>,
    pub(super) members: Vec<(String, Zeroizing<String>)>,
    /// Part of the fingerprint.
    pub(super) salt: u64,
}

impl<T: Transport> GrantConfig<T> {
    /// A form that begins with the client's id.
    pub(super) fn form(&self) -> Result<Form<'_>, TokenError> {
        self.endpoint.client.form()
    }

    /// One token request with a grant's own credentials.
    pub(super) async fn ask<K: GrantType>(&self, kind: &K) -> Result<TokenResponse, TokenError> {
        let form = kind.add_params(self.form()?).await?;
        self.send(kind, form).await
    }

    /// Completes a form that has the grant's credentials, and posts it.
    pub(super) async fn send<'a, K: GrantType>(
        &'a self,
        kind: &'a K,
        form: Form<'a>,
    ) -> Result<TokenResponse, TokenError> {
        let form = form.public("grant_type", kind.grant_type());
        self.endpoint
            .ask(
                form,
                |form| {
                    let form = form.optional("scope", self.scope.as_deref());
                    let members = self.members.iter();
                    members.fold(form, |form, (name, value)| {
                        form.secret(name, value.as_str())
                    })
                },
                |issued| kind.accepts_token_type(issued),
            )
            .await
    }

    /// One token request with a refresh token (RFC 6749, section 6).
    pub(super) async fn refresh(&self, token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        let form = self
            .form()?
            .secret("refresh_token", token.secret())
            .public("grant_type", "refresh_token");
        self.endpoint.ask(form, |form| form, |_| true).await
    }
}

mod sealed {
    use std::future::Future;
    use std::hash::DefaultHasher;

    use super::*;

    /// A kind of grant.
    pub trait GrantType: Send + Sync + Sized + 'static {
        /// The grant's name in `Debug`.
        const NAME: &'static str;

        /// The member `grant_type`.
        fn grant_type(&self) -> &str;

        /// Adds the members that are this grant's own.
        fn add_params<'a>(
            &'a self,
            form: Form<'a>,
        ) -> impl Future<Output = Result<Form<'a>, TokenError>> + Send;

        /// Tells these credentials from others of the same kind.
        fn hash_credentials(&self, hasher: &mut DefaultHasher) {
            let _ = hasher;
        }

        /// Whether a token of this `issued_token_type` will do.
        fn accepts_token_type(&self, issued: Option<&str>) -> bool {
            let _ = issued;
            true
        }

        fn fetch<T: Transport>(
            &self,
            config: &GrantConfig<T>,
        ) -> impl Future<Output = Result<TokenResponse, TokenError>> + Send {
            config.ask(self)
        }

        fn refresh<T: Transport>(
            &self,
            config: &GrantConfig<T>,
            token: &RefreshToken,
        ) -> impl Future<Output = Result<TokenResponse, TokenError>> + Send {
            config.refresh(token)
        }

        fn revoke<T: Transport>(
            &self,
            config: &GrantConfig<T>,
            access_token: Option<&AccessToken>,
            refresh_token: Option<&RefreshToken>,
        ) -> impl Future<Output = Result<(), TokenError>> + Send {
            config.endpoint.revoke(access_token, refresh_token)
        }
    }
}
