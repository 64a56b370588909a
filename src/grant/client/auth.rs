//! How a client authenticates.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::grant::client::jwt::SignedJwt;
use crate::grant::credential::Credential;
use crate::grant::secret::{DynSecretSource, SecretSource};

/// Client authentication at the token endpoint, the same for every grant and every
/// refresh. The methods have the names of the IANA registry "OAuth Token Endpoint
/// Authentication Methods", as in an identity provider's metadata.
///
/// | what the server knows of the client | method |
/// |---|---|
/// | nothing: it is public | [`none`](Self::none), the default |
/// | a secret | [`client_secret_basic`](Self::client_secret_basic), [`client_secret_post`](Self::client_secret_post), [`client_secret_basic_unencoded`](Self::client_secret_basic_unencoded) |
/// | a public key | [`private_key_jwt`](Self::private_key_jwt) |
/// | a trusted issuer, such as a Kubernetes cluster | [`client_assertion`](Self::client_assertion) |
/// | a certificate | [`tls_client_auth`](Self::tls_client_auth) |
///
/// ```
/// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
/// # let secret = "s";
/// use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant};
///
/// let grant = ClientCredentialsGrant::new("https://auth.example.com/token", "billing")?
///     .client_auth(ClientAuth::client_secret_post(secret));
/// # let _ = grant; Ok(()) }
/// # grant().unwrap();
/// ```
#[derive(Clone, Default)]
pub struct ClientAuth(pub(super) Method);

/// How id and secret are written into the HTTP Basic header.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum InHeader {
    /// As RFC 6749, section 2.3.1, requires.
    Encoded,
    AsTheyAre,
}

#[derive(Clone, Default)]
pub(super) enum Method {
    #[default]
    None,
    Tls,
    Basic(Credential, InHeader),
    Post(Credential),
    Assertion(Arc<dyn DynSecretSource>),
    Jwt(Arc<SignedJwt>),
}

impl ClientAuth {
    /// Does not authenticate: the client is public (RFC 6749, section 2.1), and its
    /// id identifies it.
    pub fn none() -> Self {
        Self(Method::None)
    }

    /// Sends id and secret in the `Authorization` header, as HTTP Basic (RFC 6749,
    /// section 2.3.1). Every server must support this. The form then has no
    /// `client_id`: a client must not authenticate in two places.
    ///
    /// Id and secret are form-encoded before they are joined, as the RFC requires,
    /// with a space as `%20`, which servers that leave a `+` alone decode too. Only
    /// letters, digits and `-._~` stay as they are. Some servers do not decode the
    /// others: see
    /// [`client_secret_basic_unencoded`](Self::client_secret_basic_unencoded).
    pub fn client_secret_basic(secret: impl Into<Credential>) -> Self {
        Self(Method::Basic(secret.into(), InHeader::Encoded))
    }

    /// Sends id and secret unencoded in the `Authorization` header, as HTTP Basic
    /// (RFC 7617), for servers that do not decode them, such as LemonLDAP::NG and
    /// node-oauth. The id must not contain a colon.
    pub fn client_secret_basic_unencoded(secret: impl Into<Credential>) -> Self {
        Self(Method::Basic(secret.into(), InHeader::AsTheyAre))
    }

    /// Sends a secret in the form, as `client_secret` (RFC 6749, section 2.3.1), for
    /// servers that do not read the header.
    pub fn client_secret_post(secret: impl Into<Credential>) -> Self {
        Self(Method::Post(secret.into()))
    }

    /// Sends an assertion that the client signs with its private key for each
    /// token request (RFC 7523, section 2.2; OpenID Connect Core 1.0, section
    /// 9).
    pub fn private_key_jwt(jwt: SignedJwt) -> Self {
        Self(Method::Jwt(Arc::new(jwt)))
    }

    /// Sends an assertion that a third party signed (RFC 7523, section 2.2): a
    /// [`SecretFile`](crate::grant::SecretFile) with the token of a Kubernetes
    /// service account, or the result of a closure.
    pub fn client_assertion(source: impl SecretSource) -> Self {
        Self(Method::Assertion(Arc::new(source)))
    }

    /// Relies on the certificate that the [transport](crate::transport) presents in
    /// its TLS handshake (RFC 8705, section 2). The form carries the client id and
    /// no secret; an issuer's `mtls_endpoint_aliases` (section 5) are used.
    pub fn tls_client_auth() -> Self {
        Self(Method::Tls)
    }

    /// Returns the secret, which may have to be read from a file.
    pub(in crate::grant) fn credential(&self) -> Option<&Credential> {
        match &self.0 {
            Method::Basic(secret, _) | Method::Post(secret) => Some(secret),
            _ => None,
        }
    }

    /// Returns the source of an assertion that authenticates the client.
    pub(in crate::grant) fn source(&self) -> Option<&dyn DynSecretSource> {
        match &self.0 {
            Method::Assertion(source) => Some(&**source),
            Method::Jwt(jwt) => Some(&**jwt),
            _ => None,
        }
    }

    pub(in crate::grant) fn is_tls(&self) -> bool {
        matches!(self.0, Method::Tls)
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Method::None => f.write_str("none"),
            Method::Tls => f.write_str("tls_client_auth"),
            Method::Basic(_, InHeader::Encoded) => f.write_str("client_secret_basic"),
            Method::Basic(..) => f.write_str("client_secret_basic_unencoded"),
            Method::Post(_) => f.write_str("client_secret_post"),
            Method::Assertion(_) => f.write_str("client_assertion"),
            Method::Jwt(jwt) => jwt.fmt(f),
        }
    }
}

impl Hash for ClientAuth {
    /// Hashes a fixed secret; [`source`](ClientAuth::source) knows of others.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        std::mem::discriminant(&self.0).hash(hasher);
        match &self.0 {
            Method::None | Method::Tls | Method::Assertion(_) | Method::Jwt(_) => {}
            Method::Basic(secret, written) => (secret, written).hash(hasher),
            Method::Post(secret) => secret.hash(hasher),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::secret::Secret;

    #[test]
    fn what_authenticates_a_client_is_not_shown() {
        for (auth, shown) in [
            (ClientAuth::none(), "none"),
            (ClientAuth::tls_client_auth(), "tls_client_auth"),
            (
                ClientAuth::client_secret_basic("s3cret"),
                "client_secret_basic",
            ),
            (
                ClientAuth::client_secret_basic_unencoded("s3cret"),
                "client_secret_basic_unencoded",
            ),
            (
                ClientAuth::client_secret_post("s3cret"),
                "client_secret_post",
            ),
            (
                ClientAuth::client_assertion(Secret::from("s3cret")),
                "client_assertion",
            ),
        ] {
            assert_eq!(format!("{auth:?}"), shown);
        }
    }
}
