//! Signed assertions (RFC 7515, RFC 7519).

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::error::{ConfigError, TokenError};
use crate::grant::client::signer::{DynSigner, Signer};
use crate::grant::secret::{Secret, SecretSource};

const LIFETIME: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// Whoever signs, and for how long.
#[derive(Debug)]
pub(super) struct JwtSigner {
    pub(super) signer: Box<dyn DynSigner>,
    lifetime: Duration,
}

impl JwtSigner {
    pub(super) fn new(signer: impl Signer) -> Self {
        Self {
            signer: Box::new(signer),
            lifetime: LIFETIME,
        }
    }

    pub(super) fn set_lifetime(&mut self, lifetime: Duration) -> Result<(), ConfigError> {
        if lifetime < Duration::from_secs(1) || lifetime > LONGEST {
            let reason = "is less than a second or more than an hour";
            return Err(ConfigError::new("lifetime", reason));
        }
        self.lifetime = lifetime;
        Ok(())
    }

    /// A JWT with these claims, and with `jti`, `iat` and `exp` of now.
    pub(super) async fn sign(&self, mut claims: Map<String, Value>) -> Result<Secret, TokenError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut head = json!({ "alg": self.signer.algorithm(), "typ": "JWT" });
        if let Some(key_id) = self.signer.key_id() {
            head["kid"] = key_id.into();
        }
        let end = now.as_secs().saturating_add(self.lifetime.as_secs());
        claims.insert("jti".into(), unique(now).into());
        claims.insert("iat".into(), now.as_secs().into());
        claims.insert("exp".into(), end.into());
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let head = encode(head.to_string().as_bytes());
        let claims = encode(Value::Object(claims).to_string().as_bytes());
        let message = format!("{head}.{claims}");
        let signature = self.signer.sign(message.as_bytes()).await;
        let signature = encode(&signature.map_err(TokenError::from_source)?);
        Ok(format!("{message}.{signature}").into())
    }
}

/// A text that nobody used before: the time, and a number of the operating
/// system's that tells processes and calls apart.
fn unique(now: Duration) -> String {
    let random = || RandomState::new().hash_one(now);
    format!("{:x}-{:016x}{:016x}", now.as_nanos(), random(), random())
}

/// An assertion that the program signs itself, for the
/// [`JwtBearerGrant`](crate::grant::JwtBearerGrant): anew for each token request
/// (RFC 7523, section 3).
///
#[cfg_attr(feature = "private-key-jwt", doc = "```")]
#[cfg_attr(not(feature = "private-key-jwt"), doc = "```ignore")]
/// # fn grant(pem: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::grant::{JwtBearerGrant, PrivateKey, SignedJwt};
///
/// let endpoint = "https://auth.example.com/token";
/// let key = PrivateKey::from_pem(pem)?.with_key_id("7f3a");
/// let about = SignedJwt::new(key, "billing@robots.example.com", endpoint)
///     .subject("your@email.com")
///     .claim("scope", "invoices");
/// let grant = JwtBearerGrant::new(endpoint, about)?;
/// # let _ = grant; Ok(()) }
/// ```
#[derive(Debug)]
pub struct SignedJwt {
    signer: JwtSigner,
    claims: Claims,
}

/// They may be about somebody, and are not shown.
struct Claims(Map<String, Value>);

impl SignedJwt {
    /// Assertions of this issuer, who signs them so, for this audience: the
    /// token endpoint, or what its server wants there. `jti` is unique, `exp` is
    /// a minute after `iat`.
    pub fn new(
        signer: impl Signer,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        let claims = Map::from_iter([
            ("iss".to_owned(), issuer.into().into()),
            ("aud".to_owned(), audience.into().into()),
        ]);
        Self {
            signer: JwtSigner::new(signer),
            claims: Claims(claims),
        }
    }

    /// Sets endpoint_name the token is for (`sub`).
    #[must_use]
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.claim("sub", subject)
    }

    /// Sets another claim, or the same one anew. `jti`, `iat` and `exp` are
    /// those of each assertion, whatever is set here.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.claims.0.insert(name.into(), value.into().into());
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
}

impl SecretSource for SignedJwt {
    async fn secret(&self) -> Result<Secret, TokenError> {
        self.signer.sign(self.claims.0.clone()).await
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
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
