//! The type and the settings that all grants share.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{ConfigError, TokenError};

use crate::grant::client::{Client, ClientAuth};
use crate::grant::credential::Credential;
use crate::grant::endpoint::{Endpoint, EndpointUrl, RevocationMethod, TokenEndpoint};
use crate::grant::fingerprint::Fingerprint;
use crate::grant::grant_type::{GrantConfig, GrantType, Observer};
use crate::grant::params::Param;
use crate::grant::response::token::is_never_bearer;
use crate::grant::secret::{DynSecretSource, Secret, SecretSource};
use crate::secret_file;
use crate::source::TokenSource;
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{DefaultTransport, Transport};

/// Source of tokens that requests them from a token endpoint, with the settings that
/// all grants share.
///
/// Create one by the name of its kind: [`PasswordGrant`](super::PasswordGrant),
/// [`ClientCredentialsGrant`](super::ClientCredentialsGrant),
/// [`RefreshTokenGrant`](super::RefreshTokenGrant),
/// [`JwtBearerGrant`](super::JwtBearerGrant),
/// [`TokenExchangeGrant`](super::TokenExchangeGrant),
/// [`ExtensionGrant`](super::ExtensionGrant) or
/// [`VoipexImpersonation`](crate::VoipexImpersonation). Each is this type with a
/// kind `K` and a transport `T`, so all of them have the methods below:
///
/// | setting | default |
/// |---|---|
/// | [`client_secret`](Self::client_secret), [`client_auth`](Self::client_auth) | a public client |
/// | [`scope`](Self::scope) | none, the server's choice |
/// | [`audience`](Self::audience), [`resource`](Self::resource) | none |
/// | [`param`](Self::param), [`param_from`](Self::param_from) | none |
/// | [`accept_token_type`](Self::accept_token_type) | bearer tokens only |
/// | [`on_response`](Self::on_response) | none |
/// | [`timeout`](Self::timeout) | 10 seconds for a token request |
/// | [`max_response`](Self::max_response) | 65,536 bytes |
/// | [`logout_endpoint`](Self::logout_endpoint), [`revocation_endpoint`](Self::revocation_endpoint) | none, or what the [issuer](super::Endpoint::issuer) names |
/// | [`transport`](Self::transport) | [`DefaultTransport`], with the feature `reqwest` |
///
/// All secrets are absent from `Debug` and from errors, and wiped when dropped.
pub struct Grant<K, T = DefaultTransport> {
    pub(crate) kind: K,
    config: GrantConfig<T>,
}

impl<K> Grant<K> {
    pub(super) fn of(kind: K, endpoint: Endpoint, client: Client) -> Self {
        Self {
            kind,
            config: GrantConfig {
                endpoint: TokenEndpoint::new(endpoint, client),
                scope: None,
                targets: Vec::new(),
                params: Vec::new(),
                token_types: Vec::new(),
                observer: None,
                salt: 0,
                contents: AtomicU64::new(0),
            },
        }
    }
}

impl<K, T> Grant<K, T> {
    /// Sends token requests through this tower service: any
    /// `Service<http::Request<Full<Bytes>>>`, see
    /// [`transport`](crate::transport).
    #[must_use]
    pub fn transport<S: Transport>(self, service: S) -> Grant<K, S> {
        Grant {
            kind: self.kind,
            config: GrantConfig {
                endpoint: self.config.endpoint.through(service),
                scope: self.config.scope,
                targets: self.config.targets,
                params: self.config.params,
                token_types: self.config.token_types,
                observer: self.config.observer,
                salt: self.config.salt,
                contents: AtomicU64::new(0),
            },
        }
    }

    pub(crate) fn with_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.config.endpoint.set_location(endpoint);
        self
    }

    /// Distinguishes these credentials from the same ones at another server with the
    /// same address, which in-process servers can have.
    #[cfg(feature = "testing")]
    pub(crate) fn salted(mut self, salt: u64) -> Self {
        self.config.salt = salt;
        self
    }

    /// Sets the client's secret, which is sent in the `Authorization` header: a
    /// string, or a [`SecretFile`](super::SecretFile) that is read for each token
    /// request. Short for [`client_auth`](Self::client_auth) with
    /// [`ClientAuth::client_secret_basic`].
    #[must_use]
    pub fn client_secret(self, secret: impl Into<Credential>) -> Self {
        self.client_auth(ClientAuth::client_secret_basic(secret))
    }

    /// Sets how the client authenticates. Default: [`ClientAuth::none`].
    #[must_use]
    pub fn client_auth(mut self, auth: ClientAuth) -> Self {
        self.config.endpoint.client.auth = auth;
        self
    }

    pub(crate) fn with_client_id(mut self, client_id: impl Into<String>) -> Self {
        self.config.endpoint.client.id = Some(client_id.into());
        self
    }

    /// Sets the scope to request (RFC 6749, section 3.3): scopes separated by
    /// spaces. An empty scope is not sent.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.config.scope = Some(scope.into()).filter(|scope| !scope.is_empty());
        self
    }

    /// Accepts tokens of this `token_type` (RFC 6749, section 7.1) as bearer tokens,
    /// in any letter case. May be called repeatedly. `bearer` and a missing or empty
    /// type are always accepted; some servers name the type in their own way:
    ///
    /// ```
    /// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
    /// # let secret = "s";
    /// use tower_bearer::grant::ClientCredentialsGrant;
    ///
    /// let apigee = ClientCredentialsGrant::new("https://api.example.com/token", "billing")?
    ///     .client_secret(secret)
    ///     .accept_token_type("BearerToken")?;
    /// # let _ = apigee; Ok(()) }
    /// # grant().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Fails for a type that cannot be sent as a bearer token: `DPoP`, `mac`, `PoP`
    /// and `N_A`.
    pub fn accept_token_type(mut self, token_type: impl AsRef<str>) -> Result<Self, ConfigError> {
        let token_type = token_type.as_ref().trim_ascii().to_ascii_lowercase();
        if is_never_bearer(&token_type) {
            let reason = "is a type of token that cannot be sent as a bearer token";
            return Err(ConfigError::new("accept_token_type", reason));
        }
        self.config.token_types.push(token_type);
        Ok(self)
    }

    /// Calls this closure with each response that has a token, before the token is
    /// used, to read other members with [`TokenResponse::get`]. The closure must not
    /// block; a panic in it fails the fetch. Setting another closure replaces it.
    ///
    /// ```
    /// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
    /// # let password = "p";
    /// use std::sync::{Arc, Mutex};
    /// use tower_bearer::PasswordGrant;
    ///
    /// let instance_url = Arc::new(Mutex::new(None));
    /// let latest = instance_url.clone();
    /// let endpoint = "https://login.salesforce.com/services/oauth2/token";
    /// let account = PasswordGrant::new(endpoint, "my-app", "me", password)?
    ///     .on_response(move |response| {
    ///         let url = response.get("instance_url").map(str::to_owned);
    ///         *latest.lock().unwrap() = url;
    ///     });
    /// # let _ = account; Ok(()) }
    /// # grant().unwrap();
    /// ```
    #[must_use]
    pub fn on_response(mut self, observe: impl Fn(&TokenResponse) + Send + Sync + 'static) -> Self {
        self.config.observer = Some(Observer(Box::new(observe)));
        self
    }

    /// Adds the name of a service that the token is for (`audience`, RFC 8693,
    /// section 2.1; Auth0 and others accept it with any grant). Sent with each
    /// refresh as well. May be called repeatedly, but some servers, Keycloak among
    /// them, refuse a repeated parameter.
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.target("audience", audience.into())
    }

    /// Adds the URI of a service that the token is for (`resource`, RFC 8707,
    /// section 2). Sent with each refresh as well, so that a renewed token is for
    /// the same service. May be called repeatedly, but some servers, Keycloak among
    /// them, refuse a repeated parameter.
    ///
    /// ```
    /// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
    /// # let secret = "s";
    /// use tower_bearer::grant::ClientCredentialsGrant;
    ///
    /// let grant = ClientCredentialsGrant::new("https://auth.example.com/token", "billing")?
    ///     .client_secret(secret)
    ///     .resource("https://invoices.example.com");
    /// # let _ = grant; Ok(()) }
    /// # grant().unwrap();
    /// ```
    #[must_use]
    pub fn resource(self, resource: impl Into<String>) -> Self {
        self.target("resource", resource.into())
    }

    fn target(mut self, name: &'static str, value: String) -> Self {
        self.config.targets.push((name, value));
        self
    }

    /// Sets where [`TokenCache::revoke`](crate::TokenCache::revoke) ends the
    /// session, by its refresh token: Keycloak's
    /// `…/protocol/openid-connect/logout`. Replaces a
    /// [`revocation_endpoint`](Self::revocation_endpoint) that was set before.
    ///
    /// # Errors
    ///
    /// Fails as [`Endpoint::new`] does.
    pub fn logout_endpoint(mut self, url: impl EndpointUrl) -> Result<Self, ConfigError> {
        self.config.endpoint.revocation = Some(RevocationMethod::logout(url)?);
        Ok(self)
    }

    /// Sets where [`TokenCache::revoke`](crate::TokenCache::revoke) revokes the
    /// tokens (RFC 7009): the refresh token if there is one, otherwise the access
    /// token. Replaces a [`logout_endpoint`](Self::logout_endpoint) that was set
    /// before.
    ///
    /// # Errors
    ///
    /// Fails as [`Endpoint::new`] does.
    pub fn revocation_endpoint(mut self, url: impl EndpointUrl) -> Result<Self, ConfigError> {
        self.config.endpoint.revocation = Some(RevocationMethod::revocation(url)?);
        Ok(self)
    }

    /// Sets how long a token request may take, including redirects and body.
    /// Default: 10 seconds.
    ///
    /// # Errors
    ///
    /// Fails if it is zero.
    pub fn timeout(mut self, timeout: Duration) -> Result<Self, ConfigError> {
        self.config.endpoint.set_timeout(timeout)?;
        Ok(self)
    }

    /// Sets the maximum size of a response's body in bytes. Default: 65,536.
    ///
    /// # Errors
    ///
    /// Fails if it is zero.
    pub fn max_response(mut self, bytes: usize) -> Result<Self, ConfigError> {
        self.config.endpoint.set_max_response(bytes)?;
        Ok(self)
    }
}

impl<K: GrantType, T> Grant<K, T> {
    /// Adds a parameter to the token request. A name may be added more than once. No
    /// error quotes the value.
    ///
    /// The parameters come last, except those of an
    /// [`ExtensionGrant`](super::ExtensionGrant), which come before `grant_type`.
    /// They are sent with the grant's own credentials only; a refresh sends
    /// [`resource`](Self::resource) and [`audience`](Self::audience), but not these.
    ///
    /// ```
    /// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
    /// # let password = "p";
    /// use tower_bearer::PasswordGrant;
    ///
    /// let account = PasswordGrant::voipex("your@email.com", password).param("totp", "123456")?;
    /// # let _ = account; Ok(()) }
    /// # grant().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the name is empty or one that the grant sets itself: `client_id`,
    /// `client_secret`, `client_assertion`, `client_assertion_type`, `grant_type`
    /// and `scope`; for all grants except the extension grant also `username`,
    /// `password`, `refresh_token`, `assertion`, `subject_token`,
    /// `subject_token_type`, `actor_token`, `actor_token_type` and
    /// `requested_token_type`.
    pub fn param(
        self,
        name: impl Into<String>,
        value: impl Into<Secret>,
    ) -> Result<Self, ConfigError> {
        self.add(Param::fixed(name.into(), value.into()))
    }

    /// Adds a parameter whose value comes from a source, which is called for each
    /// token request. Otherwise the same as [`param`](Self::param).
    ///
    /// # Errors
    ///
    /// Fails as `param` does.
    pub fn param_from(
        self,
        name: impl Into<String>,
        source: impl SecretSource,
    ) -> Result<Self, ConfigError> {
        self.add(Param::from_source(name.into(), source))
    }

    fn credentials(&self) -> impl Iterator<Item = &Credential> + Send {
        let client = self.config.endpoint.client.auth.credential();
        self.kind.credential().into_iter().chain(client)
    }

    fn add(mut self, param: Param) -> Result<Self, ConfigError> {
        self.config.params.push(param.check_name(K::RESERVED)?);
        Ok(self)
    }
}

impl<K: GrantType, T: Transport> Grant<K, T> {
    /// Returns the sources of secrets that are neither a person's nor the client's own.
    fn sources(&self) -> impl Iterator<Item = &dyn DynSecretSource> {
        let GrantConfig {
            endpoint, params, ..
        } = &self.config;
        let of_client = endpoint.client.auth.source();
        let sources = self.kind.sources().into_iter().chain(of_client);
        sources.chain(params.iter().filter_map(Param::source))
    }

    /// Returns the credential files that the fingerprint does not cover.
    fn other_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = self.sources().flat_map(|it| it.files()).collect();
        files.extend(self.config.endpoint.certificate_files());
        files
    }

    fn hash(&self, of: Of) -> u64 {
        let mut hasher = Fingerprint::new();
        let GrantConfig {
            endpoint,
            scope,
            targets,
            params,
            salt,
            token_types: _,
            observer: _,
            contents: _,
        } = &self.config;
        (endpoint, salt).hash(&mut hasher);
        // The same number for both, where nothing in particular is asked for.
        if of == Of::Request && (scope.is_some() || !targets.is_empty()) {
            (scope, targets).hash(&mut hasher);
        }
        for param in params {
            if of == Of::Request || param.public().is_none() {
                param.hash(&mut hasher);
            }
        }
        self.kind.hash_credentials(&mut hasher);
        for source in self.sources() {
            source.fingerprint().hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Returns whether nothing is known in advance of one of the secrets, so that two
    /// grants that look the same may have different ones.
    fn has_unknown_secret(&self) -> bool {
        let is_unknown = |it: &dyn DynSecretSource| it.fingerprint() == 0 && it.files().is_empty();
        self.config.endpoint.client.auth.is_tls() || self.sources().any(is_unknown)
    }
}

/// What a fingerprint is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Credentials,
    /// And of what they are sent for.
    Request,
}

impl<K: GrantType, T: Transport> TokenSource for Grant<K, T> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.kind.fetch(&self.config).await
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.kind.refresh(&self.config, refresh_token).await
    }

    fn fingerprint(&self) -> u64 {
        self.hash(Of::Request)
    }

    fn holder(&self) -> String {
        self.config.holder(&self.kind)
    }

    /// Returns 0 if a secret is not known in advance (a certificate, which only the
    /// transport has, or what a closure returns): another cache may send another one,
    /// so each cache has its own refusal. That locks out no person. A person's
    /// password is the same for whatever it is sent.
    fn local_fingerprint(&self) -> u64 {
        if K::MAY_LOCK {
            return self.hash(Of::Credentials);
        }
        if self.has_unknown_secret() {
            return 0;
        }
        let files = self.other_files();
        if files.is_empty() {
            return self.fingerprint();
        }
        // Which may hold other secrets than files elsewhere.
        let mut hasher = Fingerprint::new();
        (self.fingerprint(), files).hash(&mut hasher);
        hasher.finish()
    }

    fn request_fingerprint(&self) -> u64 {
        match K::MAY_LOCK {
            true => self.hash(Of::Request),
            false => self.local_fingerprint(),
        }
    }

    fn endpoint(&self) -> u64 {
        let mut hasher = Fingerprint::new();
        (self.config.endpoint.location(), self.config.salt).hash(&mut hasher);
        hasher.finish()
    }

    /// Ignores case, as servers do that count wrong passwords for a user name.
    fn user(&self) -> u64 {
        let Some(user) = self.kind.user() else {
            return 0;
        };
        let mut hasher = Fingerprint::new();
        let GrantConfig { endpoint, salt, .. } = &self.config;
        (endpoint.location(), salt, user.to_lowercase()).hash(&mut hasher);
        hasher.finish()
    }

    fn is_prepared(&self) -> bool {
        self.contents().is_none()
    }

    async fn prepare(&self) -> Result<(), TokenError> {
        self.reread().await
    }

    /// Reads the credential files, so that the fingerprint is that of their
    /// contents.
    async fn reread(&self) -> Result<(), TokenError> {
        for credential in self.credentials() {
            credential.get().await?;
        }
        let files = self.other_files();
        if !files.is_empty() {
            let read = tokio::task::spawn_blocking(move || secret_file::contents(&files));
            let contents = read.await.map_err(TokenError::from_source)?;
            self.config.contents.store(contents, Ordering::Relaxed);
        }
        Ok(())
    }

    fn contents(&self) -> Option<u64> {
        let is_fixed = self.credentials().all(Credential::is_fixed);
        let contents = || self.config.contents.load(Ordering::Relaxed);
        (!is_fixed || !self.other_files().is_empty()).then(contents)
    }

    fn may_lock(&self) -> bool {
        K::MAY_LOCK
    }

    async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        self.kind
            .revoke(&self.config, access_token, refresh_token)
            .await
    }
}

impl<K: GrantType, T> fmt::Debug for Grant<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(K::NAME)
            .field("endpoint", &self.config.endpoint)
            .field("scope", &self.config.scope)
            .finish_non_exhaustive()
    }
}
