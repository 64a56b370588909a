//! The properties of one kind of grant, and the token request that all of them
//! share.

use std::fmt;
use std::sync::atomic::AtomicU64;

use crate::error::TokenError;
use crate::grant::credential::Credential;
use crate::grant::endpoint::TokenEndpoint;
use crate::grant::fingerprint::Fingerprint;
use crate::grant::params::{Form, Param};
use crate::grant::response::error::Refusable;
use crate::grant::response::token::Expected;
use crate::grant::secret::{DynSecretSource, Secret};
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{Limits, Transport};

pub(crate) use self::sealed::GrantType;

/// Settings that all grants have.
#[derive(Debug)]
pub struct GrantConfig<T> {
    pub(super) endpoint: TokenEndpoint<T>,
    pub(super) scope: Option<String>,
    /// What the token is for: `audience` and `resource`.
    pub(super) targets: Vec<(&'static str, String)>,
    pub(super) params: Vec<Param>,
    /// Accepted token types other than bearer, in lower case.
    pub(super) token_types: Vec<String>,
    pub(super) observer: Option<Observer>,
    /// Part of the fingerprint.
    pub(super) salt: u64,
    /// A number for the contents of the files that the fingerprint does not cover,
    /// when they were last read.
    pub(super) contents: AtomicU64,
}

type Observe = dyn Fn(&TokenResponse) + Send + Sync;

/// Called with each response that has a token.
pub(super) struct Observer(pub(super) Box<Observe>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl<T: Transport> GrantConfig<T> {
    /// Returns a form that starts with the client id.
    pub(super) fn form(&self) -> Result<Form<'_>, TokenError> {
        self.endpoint.client.form()
    }

    pub(crate) fn transport(&self) -> T {
        self.endpoint.transport()
    }

    pub(crate) fn token_types(&self) -> &[String] {
        &self.token_types
    }

    pub(crate) fn limits(&self) -> Limits {
        self.endpoint.limits()
    }

    /// Returns the scope and the parameters that the user added.
    pub(crate) async fn added_params(&self) -> Result<Vec<(&str, Secret)>, TokenError> {
        let scope = self.scope.as_deref();
        let mut params: Vec<_> = scope
            .map(|scope| ("scope", scope.into()))
            .into_iter()
            .collect();
        for param in &self.params {
            params.push((param.name(), param.value().await?));
        }
        Ok(params)
    }

    /// Requests a token with the grant's own credentials.
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
        let mut params = Vec::with_capacity(self.params.len());
        for param in &self.params {
            params.push((param.name(), param.value().await?));
        }
        let (before, after) = match K::PARAMS_BEFORE_GRANT_TYPE {
            true => (params, Vec::new()),
            false => (Vec::new(), params),
        };
        let form = form
            .secrets_of(before)
            .public("grant_type", kind.grant_type());
        let finish = |form: Form<'a>| {
            let form = form.optional("scope", self.scope.as_deref());
            self.add_targets(form).secrets_of(after)
        };
        let accepts = |issued: Option<&str>| kind.accepts_token_type(issued);
        let expected = self.expected(K::CREDENTIALS, &accepts);
        let response = self.endpoint.ask(form, finish, expected).await?;
        self.observe(&response);
        Ok(response)
    }

    fn expected<'a>(
        &'a self,
        credentials: &'static str,
        accepts_issued: &'a (dyn Fn(Option<&str>) -> bool + Sync),
    ) -> Expected<'a> {
        Expected {
            refusal: Refusable {
                credentials,
                client_hint: self.endpoint.client.hint(),
            },
            token_types: &self.token_types,
            accepts_issued,
        }
    }

    /// Passes a response to the user's closure.
    pub(crate) fn observe(&self, response: &TokenResponse) {
        if let Some(observer) = &self.observer {
            (observer.0)(response);
        }
    }

    fn add_targets<'a>(&'a self, form: Form<'a>) -> Form<'a> {
        let add =
            |form: Form<'a>, (name, value): &'a (&'static str, String)| form.public(name, value);
        self.targets.iter().fold(form, add)
    }

    /// Requests a token with a refresh token (RFC 6749, section 6; RFC 8707, section
    /// 2.2).
    pub(super) async fn refresh(&self, token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        let form = self
            .form()?
            .secret("refresh_token", token.secret())
            .public("grant_type", "refresh_token");
        let expected = self.expected("refresh token", &|_| true);
        let response = self
            .endpoint
            .ask(form, |form| self.add_targets(form), expected)
            .await?;
        self.observe(&response);
        Ok(response)
    }
}

impl<T> GrantConfig<T> {
    /// Returns the owner of the tokens as text without secrets. Each part is quoted,
    /// so that no two owners have the same text.
    pub(super) fn holder<K: GrantType>(&self, kind: &K) -> String {
        let mut holder = format!("{:?}", self.endpoint.location().name());
        let mut add = |what: &str, value: &str| holder.push_str(&format!(" {what} {value:?}"));
        for (what, value) in [
            ("client", self.endpoint.client.id.as_deref()),
            ("user", kind.user()),
            ("scope", self.scope.as_deref()),
        ] {
            value.inspect(|value| add(what, value));
        }
        for (name, value) in &self.targets {
            add(name, value);
        }
        for (name, value) in self.params.iter().filter_map(Param::public) {
            add(name, value);
        }
        holder
    }
}

mod sealed {
    use std::future::Future;

    use super::*;

    /// A kind of grant.
    pub trait GrantType: Send + Sync + Sized + 'static {
        /// The grant's name in `Debug`.
        const NAME: &'static str;

        /// The credentials that `invalid_grant` refuses, in words.
        const CREDENTIALS: &'static str = "credentials";

        /// Whether a person's account may be locked when the credentials are
        /// refused too often.
        const MAY_LOCK: bool = false;

        /// Parameters that a user cannot add, because the grants write them.
        const RESERVED: &'static [&'static str] = &[
            "client_id",
            "client_secret",
            "client_assertion",
            "client_assertion_type",
            "username",
            "password",
            "grant_type",
            "refresh_token",
            "scope",
            "assertion",
            "subject_token",
            "subject_token_type",
            "actor_token",
            "actor_token_type",
            "requested_token_type",
        ];

        /// Whether a user's parameters come before `grant_type` instead of last.
        const PARAMS_BEFORE_GRANT_TYPE: bool = false;

        /// Returns the parameter `grant_type`.
        fn grant_type(&self) -> &str;

        /// Adds this grant's own parameters.
        fn add_params<'a>(
            &'a self,
            form: Form<'a>,
        ) -> impl Future<Output = Result<Form<'a>, TokenError>> + Send;

        /// Hashes what distinguishes these credentials from others of the same kind.
        fn hash_credentials(&self, hasher: &mut Fingerprint) {
            let _ = hasher;
        }

        /// Returns the user whose tokens these are, if known and not secret.
        fn user(&self) -> Option<&str> {
            None
        }

        /// Returns the secret of a person, which may have to be read from a file.
        fn credential(&self) -> Option<&Credential> {
            None
        }

        /// Returns the sources of other secrets.
        fn sources(&self) -> Vec<&dyn DynSecretSource> {
            Vec::new()
        }

        /// Returns whether a token of this `issued_token_type` is accepted.
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
