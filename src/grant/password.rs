//! The resource owner password credentials grant.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::client::{Client, ClientAuth};
use crate::grant::ending::Ending;
use crate::grant::endpoint::{self, TokenEndpoint};
use crate::grant::request::Form;
use crate::source::TokenSource;
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{DefaultTransport, Transport};

/// Members that the grant writes itself.
const RESERVED: [&str; 7] = [
    "client_id",
    "client_secret",
    "username",
    "password",
    "grant_type",
    "refresh_token",
    "scope",
];

/// A user name and a password, exchanged for tokens (RFC 6749, section 4.3),
/// and refresh tokens for new ones (section 6).
///
/// ```
/// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
/// # let (password, secret) = ("p", "s");
/// use std::time::Duration;
/// use tower_bearer::PasswordGrant;
///
/// let account = PasswordGrant::voipex("your@email.com", password);
///
/// let account = PasswordGrant::new("https://auth.example.com/token", "my-app", "me", password)?
///     .client_secret(secret)
///     .scope("calls messages")
///     .member("totp", "123456")?
///     .timeout(Duration::from_secs(5))?;
/// # let _ = account; Ok(()) }
/// # grant().unwrap();
/// ```
///
/// An empty client id, user name or password is an error of the kind
/// [`Config`](TokenErrorKind::Config) when a token is asked for, and nothing is
/// sent. The password and all other secrets are absent from `Debug` and from
/// errors, and wiped when dropped.
pub struct PasswordGrant<T = DefaultTransport> {
    endpoint: TokenEndpoint<T>,
    username: Zeroizing<String>,
    password: Zeroizing<String>,
    scope: Option<String>,
    members: Vec<(String, Zeroizing<String>)>,
}

impl PasswordGrant {
    /// A grant at this token endpoint, with no client secret, no scope and the
    /// [default transport](DefaultTransport).
    ///
    /// # Errors
    ///
    /// If the endpoint is not `https` (`http` is for loopback: `localhost`,
    /// 127.0.0.0/8, `[::1]`), or has a user name or a fragment. The error does
    /// not quote it.
    pub fn new(
        endpoint: impl AsRef<str>,
        client_id: impl Into<String>,
        username: impl Into<String>,
        password: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        // First, so that they are wiped if the endpoint is refused.
        let (username, password) = (username.into(), Zeroizing::new(password.into()));
        let uri = endpoint::parse(endpoint.as_ref())?;
        let endpoint = TokenEndpoint::new(uri, Client::new(client_id));
        Ok(Self::at(endpoint, username, password))
    }

    pub(super) fn at(
        endpoint: TokenEndpoint<DefaultTransport>,
        username: impl Into<Zeroizing<String>>,
        password: impl Into<Zeroizing<String>>,
    ) -> Self {
        Self {
            endpoint,
            username: username.into(),
            password: password.into(),
            scope: None,
            members: Vec::new(),
        }
    }
}

impl<T> PasswordGrant<T> {
    /// Sends token requests through this tower service. See
    /// [`transport`](crate::transport) for what fits.
    #[must_use]
    pub fn transport<S: Transport>(self, service: S) -> PasswordGrant<S> {
        PasswordGrant {
            endpoint: self.endpoint.through(service),
            username: self.username,
            password: self.password,
            scope: self.scope,
            members: self.members,
        }
    }

    /// Sets the client's secret (RFC 6749, section 2.3.1), sent in the header
    /// unless [`client_auth`](Self::client_auth) says otherwise.
    #[must_use]
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.endpoint.client.secret = Some(Zeroizing::new(secret.into()));
        self
    }

    /// Sets where the client's secret is sent: [`ClientAuth::Basic`] if never
    /// set. Means nothing without a secret.
    #[must_use]
    pub fn client_auth(mut self, auth: ClientAuth) -> Self {
        self.endpoint.client.auth = auth;
        self
    }

    /// Sets the scope to ask for (RFC 6749, section 3.3): names with a space
    /// between them. An empty one is not sent.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into()).filter(|scope| !scope.is_empty());
        self
    }

    /// Adds a member to the form, after all others. The same name may come
    /// more than once (RFC 8707 has a use for that). Sent with the user's
    /// credentials, not with a refresh token.
    ///
    /// # Errors
    ///
    /// If the name is empty, or one that the grant writes itself: `client_id`,
    /// `client_secret`, `username`, `password`, `grant_type`, `refresh_token`,
    /// `scope`.
    pub fn member(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        let (name, value) = (name.into(), Zeroizing::new(value.into()));
        if name.is_empty() {
            return Err(ConfigError::new("member", "has no name"));
        }
        if RESERVED.contains(&name.as_str()) {
            let reason = format!("`{name}` is written by the grant itself");
            return Err(ConfigError::new("member", reason));
        }
        self.members.push((name, value));
        Ok(self)
    }

    /// Sets where a session is ended by its refresh token when the cache is
    /// [revoked](crate::TokenCache::revoke): Keycloak's
    /// `…/protocol/openid-connect/logout`. Of this and
    /// [`revocation_endpoint`](Self::revocation_endpoint) the last one set
    /// counts.
    ///
    /// # Errors
    ///
    /// As for the token endpoint in [`new`](PasswordGrant::new).
    pub fn logout_endpoint(mut self, endpoint: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.endpoint.ending = Some(Ending::logout(endpoint.as_ref())?);
        Ok(self)
    }

    /// Sets where tokens are given up (RFC 7009) when the cache is
    /// [revoked](crate::TokenCache::revoke): the refresh token if there is one,
    /// else the access token.
    ///
    /// # Errors
    ///
    /// As for the token endpoint in [`new`](PasswordGrant::new).
    pub fn revocation_endpoint(mut self, endpoint: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.endpoint.ending = Some(Ending::revocation(endpoint.as_ref())?);
        Ok(self)
    }

    /// Sets how long a token request may take in all, redirects and body
    /// included: 10 s if never set.
    ///
    /// # Errors
    ///
    /// If it is zero.
    pub fn timeout(mut self, timeout: Duration) -> Result<Self, ConfigError> {
        self.endpoint.set_timeout(timeout)?;
        Ok(self)
    }

    /// Sets how many bytes the body of an answer may have: 65,536 if never
    /// set.
    ///
    /// # Errors
    ///
    /// If it is zero.
    pub fn max_response(mut self, bytes: usize) -> Result<Self, ConfigError> {
        self.endpoint.set_max_response(bytes)?;
        Ok(self)
    }
}

impl<T: Transport> TokenSource for PasswordGrant<T> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        for (what, text) in [
            ("the user name is empty", &self.username),
            ("the password is empty", &self.password),
        ] {
            if text.is_empty() {
                return Err(TokenError::new(TokenErrorKind::Config, what));
            }
        }
        let client = &self.endpoint.client;
        let mut form = Form::of(client)
            .public("username", &self.username)
            .secret("password", &self.password)
            .public("grant_type", "password")
            .optional("client_secret", client.form_secret())
            .optional("scope", self.scope.as_deref());
        for (name, value) in &self.members {
            form = form.secret(name, value);
        }
        self.endpoint.ask(form).await
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        let client = &self.endpoint.client;
        let form = Form::of(client)
            .secret("refresh_token", refresh_token.secret())
            .public("grant_type", "refresh_token")
            .optional("client_secret", client.form_secret());
        self.endpoint.ask(form).await
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.endpoint.hash(&mut hasher);
        (&*self.username, &*self.password, &self.scope).hash(&mut hasher);
        for (name, value) in &self.members {
            (name, &**value).hash(&mut hasher);
        }
        hasher.finish()
    }

    async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        self.endpoint.revoke(access_token, refresh_token).await
    }
}

impl<T> fmt::Debug for PasswordGrant<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordGrant")
            .field("endpoint", &self.endpoint)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
