//! Who asks: the client and how it proves itself (RFC 6749, section 2.3).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::error::{TokenError, TokenErrorKind};
use crate::grant::encode::encode;

/// Where a client secret is sent (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientAuth {
    /// In the `Authorization` header, as HTTP Basic: what every server must
    /// support.
    #[default]
    Basic,
    /// In the form, as `client_secret`: for servers that read nothing else.
    Form,
}

pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: Option<Zeroizing<String>>,
    pub(super) auth: ClientAuth,
}

impl Client {
    pub(super) fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: None,
            auth: ClientAuth::default(),
        }
    }

    /// The secret, if it belongs into the form.
    pub(super) fn form_secret(&self) -> Option<&str> {
        match self.auth {
            ClientAuth::Form => self.secret.as_deref().map(String::as_str),
            ClientAuth::Basic => None,
        }
    }

    /// The `Authorization` header, if the secret belongs there: id and secret,
    /// each form-urlencoded, as HTTP Basic. Marked sensitive and wiped when
    /// dropped.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, TokenError> {
        let (ClientAuth::Basic, Some(secret)) = (self.auth, &self.secret) else {
            return Ok(None);
        };
        let mut pair = Zeroizing::new(Vec::with_capacity(3 * (self.id.len() + secret.len()) + 1));
        pair.extend(encode(&self.id));
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
        Ok(Some(value))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
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

    fn client(id: &str, secret: &str, auth: ClientAuth) -> Client {
        Client {
            id: id.into(),
            secret: Some(Zeroizing::new(secret.into())),
            auth,
        }
    }

    #[test]
    fn basic_carries_id_and_secret_form_urlencoded() {
        for (id, secret, pair) in [
            ("api", "s3cret", "api:s3cret"),
            ("a:b", "c:d", "a%3Ab:c%3Ad"),
            ("a b", "p+q%ü", "a+b:p%2Bq%25%C3%BC"),
            ("api", "", "api:"),
        ] {
            let client = client(id, secret, ClientAuth::Basic);
            let header = client.authorization().expect("valid").expect("a header");
            assert!(header.is_sensitive());
            let encoded = header.to_str().expect("ascii").strip_prefix("Basic ");
            let decoded = STANDARD.decode(encoded.expect("basic")).expect("base64");
            assert_eq!(decoded, pair.as_bytes());
            assert_eq!(client.form_secret(), None);
        }
    }

    #[test]
    fn a_secret_goes_one_way_only() {
        let form = client("api", "s3cret", ClientAuth::Form);
        assert_eq!(form.form_secret(), Some("s3cret"));
        assert_eq!(form.authorization().expect("valid"), None);
        let public = Client::new("api");
        assert_eq!(public.form_secret(), None);
        assert_eq!(public.authorization().expect("valid"), None);
        assert!(!format!("{form:?}").contains("s3cret"));
    }
}
