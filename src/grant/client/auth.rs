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
pub struct ClientAuth(pub(super) Way);

#[derive(Clone, Default)]
pub(super) enum Way {
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
        Self(Way::None)
    }

    /// A secret in the `Authorization` header, as HTTP Basic (RFC 6749, section
    /// 2.3.1): what every server must support.
    pub fn basic(secret: impl Into<Secret>) -> Self {
        Self(Way::Basic(secret.into()))
    }

    /// A secret in the form, as `client_secret` (RFC 6749, section 2.3.1): for
    /// servers that read nothing else.
    pub fn form(secret: impl Into<Secret>) -> Self {
        Self(Way::Form(secret.into()))
    }

    /// An assertion that the client signs with its private key for each token
    /// request (RFC 7523, section 2.2; `private_key_jwt` in OpenID Connect
    /// Core, section 9).
    pub fn private_key_jwt(jwt: PrivateKeyJwt) -> Self {
        Self(Way::Jwt(Arc::new(jwt)))
    }

    /// An assertion that comes ready-made from elsewhere (RFC 7523, section
    /// 2.2): a [`SecretFile`](crate::grant::SecretFile) with a Kubernetes service
    /// account's token, or a closure.
    pub fn assertion(source: impl SecretSource) -> Self {
        Self(Way::Assertion(Arc::new(source)))
    }

    /// A certificate that the [transport](crate::transport) shows in its TLS
    /// handshake (RFC 8705, section 2). The form carries the client id and no
    /// secret; an issuer's `mtls_endpoint_aliases` (section 5) are used.
    pub fn tls() -> Self {
        Self(Way::Tls)
    }

    pub(in crate::grant) fn is_tls(&self) -> bool {
        matches!(self.0, Way::Tls)
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::None => f.write_str("none"),
            Way::Tls => f.write_str("tls"),
            Way::Basic(_) => f.write_str("basic"),
            Way::Form(_) => f.write_str("form"),
            Way::Assertion(_) => f.write_str("assertion"),
            Way::Jwt(jwt) => jwt.fmt(f),
        }
    }
}

impl Hash for ClientAuth {
    /// As far as it can be told: what an assertion's source or a signer yields
    /// is not known before.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        std::mem::discriminant(&self.0).hash(hasher);
        match &self.0 {
            Way::None | Way::Tls | Way::Assertion(_) => {}
            Way::Basic(secret) | Way::Form(secret) => secret.secret().hash(hasher),
            Way::Jwt(jwt) => jwt.hash(hasher),
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
            (ClientAuth::tls(), "tls"),
            (ClientAuth::basic("s3cret"), "basic"),
            (ClientAuth::form("s3cret"), "form"),
            (ClientAuth::assertion(Secret::from("s3cret")), "assertion"),
        ] {
            assert_eq!(format!("{auth:?}"), shown);
        }
    }
}
