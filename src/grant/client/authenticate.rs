//! Client authentication (RFC 6749, section 2.3): the parameters and the header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Uri};
use zeroize::Zeroizing;

use crate::error::{TokenError, TokenErrorKind};
use crate::grant::client::auth::{ClientAuth, Method};
use crate::grant::params::{Form, encode};
use crate::grant::secret;

/// The type of an assertion that authenticates a client (RFC 7523, section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client. Some grants do not require an id.
#[derive(Debug, Default, Hash)]
pub(in crate::grant) struct Client {
    pub(in crate::grant) id: Option<String>,
    pub(in crate::grant) auth: ClientAuth,
}

impl Client {
    pub(in crate::grant) fn new(id: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            auth: ClientAuth::none(),
        }
    }

    /// Returns a form that begins with the client id.
    pub(in crate::grant) fn form(&self) -> Result<Form<'_>, TokenError> {
        if self.id.as_ref().is_some_and(String::is_empty) {
            let what = "the client id is empty";
            return Err(TokenError::new(TokenErrorKind::Config, what));
        }
        let form = Form::default();
        Ok(match &self.id {
            Some(id) => form.name("client_id", id),
            None => form,
        })
    }

    /// Adds what authenticates the client to this endpoint.
    pub(in crate::grant) async fn authenticate<'a>(
        &'a self,
        form: Form<'a>,
        endpoint: &Uri,
    ) -> Result<Form<'a>, TokenError> {
        let assertion = match &self.auth.0 {
            Method::None | Method::Tls => return Ok(form),
            Method::Post(secret) => return Ok(form.secret("client_secret", secret.secret())),
            Method::Basic(secret) => {
                let header = basic(self.id("a client secret")?, secret.secret())?;
                return Ok(form.authorized(header, secret.secret()));
            }
            Method::Assertion(source) => {
                secret::ask(&**source, "the client's assertion is empty").await?
            }
            Method::Jwt(jwt) => {
                let id = self.id("a client's key")?;
                jwt.of_client(id, endpoint).await?
            }
        };
        Ok(form
            .public("client_assertion_type", JWT_BEARER)
            .secret("client_assertion", assertion))
    }

    /// Returns what else to try where the server refuses the client.
    pub(in crate::grant) fn hint(&self) -> Option<&'static str> {
        None
    }

    fn id(&self, what: &str) -> Result<&str, TokenError> {
        self.id.as_deref().ok_or_else(|| {
            let what = format!("{what} needs a client id");
            TokenError::new(TokenErrorKind::Config, what)
        })
    }
}

/// Returns the `Authorization` header of HTTP Basic: id and secret, each
/// form-urlencoded. It is marked sensitive, and wiped when dropped.
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
        let what = "the client's secret cannot be a header value";
        TokenError::new(TokenErrorKind::Config, what).with_source(e)
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
}
