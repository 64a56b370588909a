//! What all grants have in common.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::{Client, ClientAuth};
use crate::grant::endpoint::RevocationMethod;
use crate::grant::endpoint::{Endpoint, TokenEndpoint};
use crate::grant::grant_type::{GrantConfig, GrantType};
use crate::grant::secret::Secret;
use crate::source::TokenSource;
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{DefaultTransport, Transport};

/// Members that the grants write themselves.
const RESERVED: [&str; 15] = [
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

/// A grant of the kind `K`, which reaches its endpoint by the transport `T`:
/// the settings that all of them share.
///
/// | its name | see |
/// |---|---|
/// | `Grant<Password>` | [`PasswordGrant`](super::PasswordGrant) |
/// | `Grant<ClientCredentials>` | [`ClientCredentialsGrant`](super::ClientCredentialsGrant) |
/// | `Grant<Refresh>` | [`RefreshTokenGrant`](super::RefreshTokenGrant) |
/// | `Grant<JwtBearer>` | [`JwtBearerGrant`](super::JwtBearerGrant) |
/// | `Grant<TokenExchange>` | [`TokenExchangeGrant`](super::TokenExchangeGrant) |
/// | `Grant<Extension>` | [`ExtensionGrant`](super::ExtensionGrant) |
///
/// All secrets are absent from `Debug` and from errors, and wiped when dropped.
pub struct Grant<K, T = DefaultTransport> {
    pub(super) kind: K,
    config: GrantConfig<T>,
}

impl<K> Grant<K> {
    pub(super) fn of(kind: K, endpoint: Endpoint, client: Client) -> Self {
        Self {
            kind,
            config: GrantConfig {
                endpoint: TokenEndpoint::new(endpoint, client),
                scope: None,
                members: Vec::new(),
                salt: 0,
            },
        }
    }
}

impl<K, T> Grant<K, T> {
    /// Sends token requests through this tower service. See
    /// [`transport`](crate::transport) for what fits.
    #[must_use]
    pub fn transport<S: Transport>(self, service: S) -> Grant<K, S> {
        Grant {
            kind: self.kind,
            config: GrantConfig {
                endpoint: self.config.endpoint.through(service),
                scope: self.config.scope,
                members: self.config.members,
                salt: self.config.salt,
            },
        }
    }

    /// Tells these credentials from the same ones of another server that has the
    /// same address, as those have that are not on any network.
    #[cfg(feature = "testing")]
    pub(crate) fn salted(mut self, salt: u64) -> Self {
        self.config.salt = salt;
        self
    }

    /// Sets the client's secret, sent in the header: short for
    /// [`client_auth`](Self::client_auth) with [`ClientAuth::client_secret_basic`].
    #[must_use]
    pub fn client_secret(self, secret: impl Into<Secret>) -> Self {
        self.client_auth(ClientAuth::client_secret_basic(secret))
    }

    /// Sets how the client proves itself: [`ClientAuth::none`] if never set.
    #[must_use]
    pub fn client_auth(mut self, auth: ClientAuth) -> Self {
        self.config.endpoint.client.auth = auth;
        self
    }

    pub(crate) fn with_client_id(mut self, client_id: impl Into<String>) -> Self {
        self.config.endpoint.client.id = Some(client_id.into());
        self
    }

    /// Sets the scope to ask for (RFC 6749, section 3.3): names with a space
    /// between them. An empty one is not sent.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.config.scope = Some(scope.into()).filter(|scope| !scope.is_empty());
        self
    }

    /// Adds a member to the form, after all others. The same name may come
    /// more than once (RFC 8707 has a use for that). Sent with the grant's
    /// own credentials, not when an answer's refresh token renews.
    ///
    /// # Errors
    ///
    /// If the name is empty, or one that a grant writes itself: `client_id`,
    /// `client_secret`, `client_assertion` and its type, `username`,
    /// `password`, `grant_type`, `refresh_token`, `scope`, `assertion`,
    /// `subject_token`, `actor_token` and their types, `requested_token_type`.
    pub fn param(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        let (name, value) = (name.into(), Zeroizing::new(value.into()));
        check_name(&name, &RESERVED)?;
        self.config.members.push((name, value));
        Ok(self)
    }

    /// As [`param`](Self::param), with no regard to the name.
    pub(super) fn push_member(&mut self, name: String, value: Zeroizing<String>) {
        self.config.members.push((name, value));
    }

    /// Sets where a session is ended by its refresh token when the cache is
    /// [revoked](crate::TokenCache::revoke): Keycloak's
    /// `…/protocol/openid-connect/logout`. Of this and
    /// [`revocation_endpoint`](Self::revocation_endpoint) the last one set
    /// counts.
    ///
    /// # Errors
    ///
    /// Those of [`Endpoint::new`].
    pub fn logout_endpoint(mut self, endpoint: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.config.endpoint.revocation = Some(RevocationMethod::logout(endpoint.as_ref())?);
        Ok(self)
    }

    /// Sets where tokens are given up (RFC 7009) when the cache is
    /// [revoked](crate::TokenCache::revoke): the refresh token if there is one,
    /// else the access token.
    ///
    /// # Errors
    ///
    /// Those of [`Endpoint::new`].
    pub fn revocation_endpoint(mut self, endpoint: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.config.endpoint.revocation = Some(RevocationMethod::revocation(endpoint.as_ref())?);
        Ok(self)
    }

    /// Sets how long a token request may take in all, redirects and body
    /// included: 10 s if never set.
    ///
    /// # Errors
    ///
    /// If it is zero.
    pub fn timeout(mut self, timeout: Duration) -> Result<Self, ConfigError> {
        self.config.endpoint.set_timeout(timeout)?;
        Ok(self)
    }

    /// Sets how many bytes the body of an answer may have: 65,536 if never
    /// set.
    ///
    /// # Errors
    ///
    /// If it is zero.
    pub fn max_response(mut self, bytes: usize) -> Result<Self, ConfigError> {
        self.config.endpoint.set_max_response(bytes)?;
        Ok(self)
    }
}

/// A name for a member that is not in this list.
pub(super) fn check_name(name: &str, reserved: &[&str]) -> Result<(), ConfigError> {
    if name.is_empty() {
        return Err(ConfigError::new("member", "has no name"));
    }
    if reserved.contains(&name) {
        let reason = format!("`{name}` is written by the grant itself");
        return Err(ConfigError::new("member", reason));
    }
    Ok(())
}

impl<K: GrantType, T: Transport> TokenSource for Grant<K, T> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.kind.fetch(&self.config).await
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.kind.refresh(&self.config, refresh_token).await
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let GrantConfig {
            endpoint,
            scope,
            members,
            salt,
        } = &self.config;
        (endpoint, scope, salt).hash(&mut hasher);
        for (name, value) in members {
            (name, value.as_str()).hash(&mut hasher);
        }
        self.kind.hash_credentials(&mut hasher);
        hasher.finish()
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
