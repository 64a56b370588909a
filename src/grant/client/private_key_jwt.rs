//! The assertion of a client that signs with its private key.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use http::Uri;
use serde_json::Map;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::jwt::JwtSigner;
use crate::grant::client::signer::Signer;
use crate::grant::secret::Secret;

/// A client's assertion (RFC 7523, section 3), signed anew for each token
/// request: `iss` and `sub` are the client id, `aud` is the token endpoint,
/// `jti` is unique, and `exp` is a minute after `iat`.
#[cfg_attr(feature = "private-key-jwt", doc = "```")]
#[cfg_attr(not(feature = "private-key-jwt"), doc = "```ignore")]
/// # fn grant(pem: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, PrivateKey, PrivateKeyJwt};
///
/// let key = PrivateKey::from_pem(pem)?.with_key_id("2026-11");
/// let grant = ClientCredentialsGrant::new("https://auth.example.com/token", "my-app")?
///     .client_auth(ClientAuth::private_key_jwt(PrivateKeyJwt::new(key)));
/// # let _ = grant; Ok(()) }
/// ```
#[derive(Debug)]
pub struct PrivateKeyJwt {
    signer: JwtSigner,
    audience: Option<String>,
}

impl PrivateKeyJwt {
    /// Assertions of this signer.
    pub fn new(signer: impl Signer) -> Self {
        Self {
            signer: JwtSigner::new(signer),
            audience: None,
        }
    }

    /// Sets `aud`, for servers that want their issuer there: the token
    /// endpoint's address if never set.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sets how long an assertion is good for, in whole seconds: 60 s if never
    /// set. It allows for the difference of the clocks as well.
    ///
    /// # Errors
    ///
    /// If it is less than a second or more than an hour.
    pub fn lifetime(mut self, lifetime: Duration) -> Result<Self, ConfigError> {
        self.signer.set_lifetime(lifetime)?;
        Ok(self)
    }

    /// The assertion of a client for an endpoint, now.
    pub(super) async fn assertion(
        &self,
        client: &str,
        endpoint: &Uri,
    ) -> Result<Secret, TokenError> {
        let audience = self.audience.clone();
        let audience = audience.unwrap_or_else(|| endpoint.to_string());
        let claims = [("iss", client), ("sub", client), ("aud", &audience)];
        let claims = claims.map(|(name, value)| (name.to_owned(), value.into()));
        self.signer.sign(Map::from_iter(claims)).await
    }
}

impl Hash for PrivateKeyJwt {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let signer = &self.signer.signer;
        (signer.algorithm(), signer.key_id(), &self.audience).hash(hasher);
    }
}
