//! Who asks: the client, and how it proves itself (RFC 6749, section 2.3).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Uri};
use zeroize::Zeroizing;

use crate::error::{TokenError, TokenErrorKind};
use crate::grant::encode::encode;
use crate::grant::private_key_jwt::PrivateKeyJwt;
use crate::grant::request::Form;
use crate::grant::secret::{self, DynSecretSource, Secret, SecretSource};

/// The type of an assertion that proves a client (RFC 7523, section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

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
pub struct ClientAuth(Way);

#[derive(Clone, Default)]
enum Way {
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
    /// 2.2): a [`SecretFile`](super::SecretFile) with a Kubernetes service
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

    pub(super) fn is_tls(&self) -> bool {
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

/// A client. Some grants do without an id.
#[derive(Debug, Default, Hash)]
pub(super) struct Client {
    pub(super) id: Option<String>,
    pub(super) auth: ClientAuth,
}

impl Client {
    pub(super) fn new(id: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            auth: ClientAuth::none(),
        }
    }

    /// A form that begins with the client's id.
    pub(super) fn form(&self) -> Result<Form<'_>, TokenError> {
        if self.id.as_ref().is_some_and(String::is_empty) {
            let what = "the client id is empty";
            return Err(TokenError::new(TokenErrorKind::Config, what));
        }
        Ok(Form::default().optional("client_id", self.id.as_deref()))
    }

    /// Adds what proves the client to the endpoint.
    pub(super) async fn prove<'a>(
        &'a self,
        form: Form<'a>,
        endpoint: &Uri,
    ) -> Result<Form<'a>, TokenError> {
        let assertion = match &self.auth.0 {
            Way::None | Way::Tls => return Ok(form),
            Way::Form(secret) => return Ok(form.secret("client_secret", secret.secret())),
            Way::Basic(secret) => {
                let header = basic(self.id("a client secret")?, secret.secret())?;
                return Ok(form.authorized(header, secret.secret()));
            }
            Way::Assertion(source) => {
                secret::ask(&**source, "the client's assertion is empty").await?
            }
            Way::Jwt(jwt) => {
                let id = self.id("a client's key")?;
                jwt.assertion(id, endpoint).await?
            }
        };
        Ok(form
            .public("client_assertion_type", JWT_BEARER)
            .secret("client_assertion", assertion))
    }

    fn id(&self, what: &str) -> Result<&str, TokenError> {
        self.id.as_deref().ok_or_else(|| {
            let what = format!("{what} needs a client id");
            TokenError::new(TokenErrorKind::Config, what)
        })
    }
}

/// The `Authorization` header: id and secret, each form-urlencoded, as HTTP
/// Basic. Marked sensitive and wiped when dropped.
fn basic(id: &str, secret: &str) -> Result<HeaderValue, TokenError> {
    let mut pair = Zeroizing::new(Vec::with_capacity(3 * (id.len() + secret.len()) + 1));
    pair.extend(encode(id));
    pair.push(b':');
    pair.extend(encode(secret));

    let mut value = Zeroizing::new(String::with_capacity(6 + pair.len().div_ceil(3) * 4));
    value.push_str("Basic ");
    STANDARD.encode_string(&*pair, &mut value);
    let value = Bytes::from_owner(Wiped(value));
    let mut value = HeaderValue::from_maybe_shared(value).map_err(|e| {
        let what = "the client's secret makes no header value";
        TokenError::new(TokenErrorKind::Config, what).because(e)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_carries_id_and_secret_form_urlencoded() {
        for (id, secret, pair) in [
            ("api", "s3cret", "api:s3cret"),
            ("a:b", "c:d", "a%3Ab:c%3Ad"),
            ("a b", "p+q%ü", "a+b:p%2Bq%25%C3%BC"),
            ("api", "", "api:"),
        ] {
            let header = basic(id, secret).expect("valid");
            assert!(header.is_sensitive());
            let encoded = header.to_str().expect("ascii").strip_prefix("Basic ");
            let decoded = STANDARD.decode(encoded.expect("basic")).expect("base64");
            assert_eq!(decoded, pair.as_bytes());
        }
    }

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
