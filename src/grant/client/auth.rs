//! How a client proves itself.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::grant::client::private_key_jwt::PrivateKeyJwt;
use crate::grant::secret::{DynSecretSource, Secret, SecretSource};

/// How a client proves itself to the token endpoint, with every grant and every
/// refresh alike.
///
/// | what the server knows of the client | |
/// |---|---|
/// | nothing: it is public | [`none`](Self::none), the default |
/// | a secret | [`basic`](Self::basic), [`form`](Self::form) |
/// | a public key | [`private_key_jwt`](Self::private_key_jwt) |
/// | who vouches for it, a Kubernetes cluster for one | [`assertion`](Self::assertion) |
/// | a certificate | [`tls`](Self::tls) |
#[derive(Clone, Default)]
pub struct ClientAuth(pub(super) Method);

#[derive(Clone, Default)]
pub(super) enum Method {
    #[default]
    None,
    Tls,
    Basic(Secret),
    Form(Secret),
    Assertion(Arc<dyn DynSecretSource>),
    Jwt(Arc<PrivateKeyJwt>),
}

impl ClientAuth {
    /// Not at all: the client is public (RFC 6749, section 2.1), and its id
    /// says who it is.
    pub fn none() -> Self {
        Self(Method::None)
    }

    /// A secret in the `Authorization` header, as HTTP Basic (RFC 6749, section
    /// 2.3.1): what every server must support.
    pub fn client_secret_basic(secret: impl Into<Secret>) -> Self {
        Self(Method::Basic(secret.into()))
    }

    /// A secret in the form, as `client_secret` (RFC 6749, section 2.3.1): for
    /// servers that read nothing else.
    pub fn client_secret_post(secret: impl Into<Secret>) -> Self {
        Self(Method::Form(secret.into()))
    }

    /// An assertion that the client signs with its private key for each token
    /// request (RFC 7523, section 2.2; `private_key_jwt` in OpenID Connect
    /// GrantConfig, section 9).
    pub fn private_key_jwt(jwt: PrivateKeyJwt) -> Self {
        Self(Method::Jwt(Arc::new(jwt)))
    }

    /// An assertion that comes ready-made from elsewhere (RFC 7523, section
    /// 2.2): a [`SecretFile`](crate::grant::SecretFile) with a Kubernetes service
    /// account's token, or a closure.
    pub fn client_assertion(source: impl SecretSource) -> Self {
        Self(Method::Assertion(Arc::new(source)))
    }

    /// A certificate that the [transport](crate::transport) shows in its TLS
    /// handshake (RFC 8705, section 2). The form carries the client id and no
    /// secret; an issuer's `mtls_endpoint_aliases` (section 5) are used.
    pub fn tls_client_auth() -> Self {
        Self(Method::Tls)
    }

    pub(in crate::grant) fn is_tls(&self) -> bool {
        matches!(self.0, Method::Tls)
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Method::None => f.write_str("none"),
            Method::Tls => f.write_str("tls"),
            Method::Basic(_) => f.write_str("basic"),
            Method::Form(_) => f.write_str("form"),
            Method::Assertion(_) => f.write_str("assertion"),
            Method::Jwt(jwt) => jwt.fmt(f),
        }
    }
}

impl Hash for ClientAuth {
    /// As far as it can be told: what an assertion's source or a signer yields
    /// is not known before.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        std::mem::discriminant(&self.0).hash(hasher);
        match &self.0 {
            Method::None | Method::Tls | Method::Assertion(_) => {}
            Method::Basic(secret) | Method::Form(secret) => secret.secret().hash(hasher),
            Method::Jwt(jwt) => jwt.hash(hasher),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_a_client_is_not_shown() {
        for (auth, shown) in [
            (ClientAuth::none(), "none"),
            (ClientAuth::tls_client_auth(), "tls"),
            (ClientAuth::client_secret_basic("s3cret"), "basic"),
            (ClientAuth::client_secret_post("s3cret"), "form"),
            (
                ClientAuth::client_assertion(Secret::from("s3cret")),
                "assertion",
            ),
        ] {
            assert_eq!(format!("{auth:?}"), shown);
        }
    }
}
