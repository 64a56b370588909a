//! Assertions that the program signs itself (RFC 7515, RFC 7519, RFC 7523).

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::client::signer::{DynSigner, JwtHeaders, Signer};
use crate::grant::fingerprint::Fingerprint;
use crate::grant::secret::{Secret, SecretSource};

const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// Signer of a new assertion for each token request (RFC 7523, section 3), to
/// authenticate the client or to exchange for a token.
///
/// `jti` is unique, `iat` is the current time, and `exp` follows from
/// [`lifetime`](Self::lifetime). The other claims depend on the use:
///
/// | claim | in [`ClientAuth::private_key_jwt`] | in a [`JwtBearerGrant`] |
/// |---|---|---|
/// | `iss` | the client id | required: [`issuer`](Self::issuer) |
/// | `sub` | the client id | none, or [`subject`](Self::subject) |
/// | `aud` | the issuer, for an [`Endpoint::issuer`]; else the URL of the token endpoint as it was written; or [`audience`](Self::audience) | required: [`audience`](Self::audience) |
///
/// The headers are `alg`, `typ` (`JWT`), the signer's `kid` if it has one, and what
/// [`header`](Self::header) and the [signer](Signer::add_headers) add.
///
#[cfg_attr(feature = "private-key-jwt", doc = "```")]
#[cfg_attr(not(feature = "private-key-jwt"), doc = "```ignore")]
/// # fn grants(pem: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::grant::{
///     ClientAuth, ClientCredentialsGrant, JwtBearerGrant, PrivateKey, SignedJwt,
/// };
///
/// let endpoint = "https://auth.example.com/token";
/// let key = PrivateKey::from_pem(pem)?.with_key_id("2026-11");
/// let client = ClientCredentialsGrant::new(endpoint, "my-app")?
///     .client_auth(ClientAuth::private_key_jwt(SignedJwt::new(key.clone())));
///
/// let assertion = SignedJwt::new(key)
///     .issuer("billing@robots.example.com")
///     .subject("your@email.com")
///     .audience(endpoint)
///     .claim("scope", "invoices");
/// let user = JwtBearerGrant::new(endpoint, assertion)?;
/// # let _ = (client, user); Ok(()) }
/// ```
///
/// [`Endpoint::issuer`]: crate::grant::Endpoint::issuer
/// [`ClientAuth::private_key_jwt`]: crate::grant::ClientAuth::private_key_jwt
/// [`JwtBearerGrant`]: crate::grant::JwtBearerGrant
#[derive(Debug)]
pub struct SignedJwt {
    signer: Box<dyn DynSigner>,
    claims: Claims,
    headers: JwtHeaders,
    lifetime: Duration,
}

/// Not shown, because they may be about a person.
struct Claims(Map<String, Value>);

impl SignedJwt {
    /// Creates assertions that this signer signs.
    pub fn new(signer: impl Signer) -> Self {
        Self {
            signer: Box::new(signer),
            claims: Claims(Map::new()),
            headers: JwtHeaders::default(),
            lifetime: DEFAULT_LIFETIME,
        }
    }

    /// Sets the issuer of the assertion (`iss`).
    #[must_use]
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        self.claim("iss", issuer)
    }

    /// Sets the subject of the assertion (`sub`).
    #[must_use]
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.claim("sub", subject)
    }

    /// Sets the audience of the assertion (`aud`): the server's issuer, or the URL
    /// of its token endpoint, as the server requires. The issuer is safer: a URL
    /// from metadata can make the assertion valid at another server
    /// (draft-ietf-oauth-rfc7523bis).
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience)
    }

    /// Sets a claim, replacing it if it was set before. `jti`, `iat` and `exp`
    /// cannot be set.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.claims.0.insert(name.into(), value.into().into());
        self
    }

    /// Sets a header (RFC 7515, section 4.1), replacing the one that the signer or
    /// this type sets: `typ`, for servers that require `client-authentication+jwt`.
    /// `alg` cannot be set.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.set(name, value);
        self
    }

    /// Sets how long an assertion is valid, in whole seconds. It must also cover the
    /// difference between the clocks. Default: 60 seconds.
    ///
    /// # Errors
    ///
    /// Fails if it is less than a second or more than an hour.
    pub fn lifetime(mut self, lifetime: Duration) -> Result<Self, ConfigError> {
        if lifetime < Duration::from_secs(1) || lifetime > MAX_LIFETIME {
            let reason = "is less than a second or more than an hour";
            return Err(ConfigError::new("lifetime", reason));
        }
        self.lifetime = lifetime;
        Ok(self)
    }

    /// Signs an assertion that authenticates this client to this server.
    pub(super) async fn of_client(
        &self,
        client_id: &str,
        server: &str,
    ) -> Result<Secret, TokenError> {
        let mut claims = self.claims.0.clone();
        for name in ["iss", "sub"] {
            claims.entry(name).or_insert_with(|| client_id.into());
        }
        claims.entry("aud").or_insert_with(|| server.into());
        self.sign(claims).await
    }

    /// Returns the headers (RFC 7515, section 4.1).
    fn head(&self) -> Map<String, Value> {
        let mut head = JwtHeaders::default();
        head.set("typ", "JWT");
        if let Some(key_id) = self.signer.key_id() {
            head.set("kid", key_id);
        }
        self.signer.add_headers(&mut head);
        head.0.extend(self.headers.0.clone());
        head.set("alg", self.signer.algorithm());
        head.0
    }

    /// Signs these claims, with `jti`, `iat` and `exp`.
    async fn sign(&self, mut claims: Map<String, Value>) -> Result<Secret, TokenError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let end = now.as_secs().saturating_add(self.lifetime.as_secs());
        claims.insert("jti".into(), unique(now).into());
        claims.insert("iat".into(), now.as_secs().into());
        claims.insert("exp".into(), end.into());
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let head = encode(Value::Object(self.head()).to_string().as_bytes());
        let claims = encode(Value::Object(claims).to_string().as_bytes());
        let message = format!("{head}.{claims}");
        let signature = self.signer.sign(message.as_bytes()).await;
        let signature = encode(&signature.map_err(TokenError::from_source)?);
        Ok(format!("{message}.{signature}").into())
    }
}

/// Returns a string that was never used before: the time, and random numbers that
/// differ between processes and calls.
fn unique(now: Duration) -> String {
    let random = || RandomState::new().hash_one(now);
    format!("{:x}-{:016x}{:016x}", now.as_nanos(), random(), random())
}

impl SecretSource for SignedJwt {
    async fn secret(&self) -> Result<Secret, TokenError> {
        for (claim, setter) in [("iss", "issuer"), ("aud", "audience")] {
            if !self.claims.0.contains_key(claim) {
                let what = format!("the assertion has no `{claim}`: set `SignedJwt::{setter}`");
                return Err(TokenError::new(TokenErrorKind::Config, what));
            }
        }
        self.sign(self.claims.0.clone()).await
    }

    fn files(&self) -> Vec<PathBuf> {
        self.signer.files()
    }

    /// Returns that of the headers, the claims and the key.
    fn fingerprint(&self) -> u64 {
        let mut hasher = Fingerprint::new();
        for (name, value) in self.head() {
            (name, value.to_string()).hash(&mut hasher);
        }
        for (name, value) in &self.claims.0 {
            (name, value.as_str()).hash(&mut hasher);
        }
        self.signer.fingerprint().hash(&mut hasher);
        hasher.finish()
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
