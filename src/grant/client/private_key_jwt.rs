//! The assertion of a client that signs with its private key.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use serde_json::json;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::signer::{DynSigner, Signer};
use crate::grant::secret::Secret;

const LIFETIME: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

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
    signer: Box<dyn DynSigner>,
    audience: Option<String>,
    lifetime: Duration,
}

impl PrivateKeyJwt {
    /// Assertions of this signer.
    pub fn new(signer: impl Signer) -> Self {
        Self {
            signer: Box::new(signer),
            audience: None,
            lifetime: LIFETIME,
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
        if lifetime < Duration::from_secs(1) || lifetime > LONGEST {
            let reason = "is less than a second or more than an hour";
            return Err(ConfigError::new("lifetime", reason));
        }
        self.lifetime = lifetime;
        Ok(self)
    }

    /// The assertion of a client for an endpoint, now.
    pub(super) async fn assertion(
        &self,
        client: &str,
        endpoint: &Uri,
    ) -> Result<Secret, TokenError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut head = json!({ "alg": self.signer.algorithm(), "typ": "JWT" });
        if let Some(key_id) = self.signer.key_id() {
            head["kid"] = key_id.into();
        }
        let endpoint = endpoint.to_string();
        let claims = json!({
            "iss": client,
            "sub": client,
            "aud": self.audience.as_deref().unwrap_or(&endpoint),
            "jti": unique(now),
            "iat": now.as_secs(),
            "exp": now.as_secs().saturating_add(self.lifetime.as_secs()),
        });
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let [head, claims] = [head, claims].map(|json| encode(json.to_string().as_bytes()));
        let message = format!("{head}.{claims}");
        let signature = self.signer.sign(message.as_bytes()).await;
        let signature = encode(&signature.map_err(TokenError::from_source)?);
        Ok(format!("{message}.{signature}").into())
    }
}

impl Hash for PrivateKeyJwt {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let signer = (self.signer.algorithm(), self.signer.key_id());
        (signer, &self.audience).hash(hasher);
    }
}

/// A text that nobody used before: the time, and a number of the operating
/// system's that tells processes and calls apart.
fn unique(now: Duration) -> String {
    let random = || RandomState::new().hash_one(now);
    format!("{:x}-{:016x}{:016x}", now.as_nanos(), random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_assertions_have_the_same_id() {
        let ids: std::collections::HashSet<_> =
            (0..1000).map(|_| unique(Duration::from_secs(1))).collect();
        assert_eq!(ids.len(), 1000);
    }
}
