//! Client authentication (RFC 6749, section 2.3): the parameters and the header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::error::{TokenError, TokenErrorKind};
use crate::grant::client::auth::{ClientAuth, InHeader, Method};
use crate::grant::params::{Form, encode_with_spaces};
use crate::grant::secret::{self, Secret};

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

    /// Returns a form that starts with the client id, unless a header has it.
    pub(in crate::grant) fn form(&self) -> Result<Form<'_>, TokenError> {
        if self.id.as_ref().is_some_and(String::is_empty) {
            let what = "the client id is empty";
            return Err(TokenError::new(TokenErrorKind::Config, what));
        }
        let form = Form::default();
        Ok(match (&self.id, &self.auth.0) {
            (Some(id), Method::Basic(..)) => form.called(id),
            (Some(id), _) => form.called(id).public("client_id", id),
            (None, _) => form,
        })
    }

    /// Adds the client's authentication to this server.
    pub(in crate::grant) async fn authenticate<'a>(
        &'a self,
        form: Form<'a>,
        server: &str,
    ) -> Result<Form<'a>, TokenError> {
        let assertion = match &self.auth.0 {
            Method::None | Method::Tls => return Ok(form),
            Method::Post(secret) => return Ok(form.secret("client_secret", secret.get().await?)),
            Method::Basic(secret, written) => {
                let (id, secret) = (self.id("a client secret")?, secret.get().await?);
                let (header, credentials) = basic(id, secret.secret(), *written)?;
                return Ok(form.authorized(header, secret, credentials));
            }
            Method::Assertion(source) => {
                secret::ask(&**source, "the client's assertion is empty").await?
            }
            Method::Jwt(jwt) => {
                let id = self.id("a client's key")?;
                jwt.of_client(id, server).await?
            }
        };
        Ok(form
            .public("client_assertion_type", JWT_BEARER)
            .secret("client_assertion", assertion))
    }

    /// Returns what else to try if the server refuses the client: servers differ in
    /// how they read id and secret in the header.
    pub(in crate::grant) fn hint(&self) -> Option<&'static str> {
        let Method::Basic(secret, written) = &self.auth.0 else {
            return None;
        };
        let is_plain = |text: &str| encode_with_spaces(text).eq(text.bytes());
        let secret = secret.known();
        let secret = secret.as_ref().map_or("", Secret::secret);
        if is_plain(self.id.as_deref()?) && is_plain(secret) {
            return None;
        }
        Some(match written {
            InHeader::Encoded => {
                "its id or secret has characters that RFC 6749 encodes in the header and some \
                 servers do not decode: try `ClientAuth::client_secret_basic_unencoded` or \
                 `client_secret_post`"
            }
            InHeader::AsTheyAre => {
                "its id or secret has characters that RFC 6749 encodes in the header, and they \
                 were sent as they are: try `ClientAuth::client_secret_basic` or \
                 `client_secret_post`"
            }
        })
    }

    fn id(&self, what: &str) -> Result<&str, TokenError> {
        self.id.as_deref().ok_or_else(|| {
            let what = format!("{what} needs a client id");
            TokenError::new(TokenErrorKind::Config, what)
        })
    }
}

/// Returns the `Authorization` header of HTTP Basic, marked sensitive and wiped when
/// dropped, and its credentials.
fn basic(id: &str, secret: &str, written: InHeader) -> Result<(HeaderValue, Secret), TokenError> {
    if written == InHeader::AsTheyAre && id.contains(':') {
        let what = "a client id with a colon cannot be sent in a header as it is: use \
                    `ClientAuth::client_secret_post`";
        return Err(TokenError::new(TokenErrorKind::Config, what));
    }
    let mut pair = Zeroizing::new(Vec::with_capacity(3 * (id.len() + secret.len()) + 1));
    match written {
        InHeader::Encoded => {
            pair.extend(encode_with_spaces(id));
            pair.push(b':');
            pair.extend(encode_with_spaces(secret));
        }
        InHeader::AsTheyAre => {
            for text in [id, ":", secret] {
                pair.extend_from_slice(text.as_bytes());
            }
        }
    }

    let mut value = Zeroizing::new(String::with_capacity(6 + pair.len().div_ceil(3) * 4));
    value.push_str("Basic ");
    STANDARD.encode_string(&*pair, &mut value);
    let credentials = Secret::from(&value["Basic ".len()..]);
    let value = Bytes::from_owner(Wiped(value));
    let mut value = HeaderValue::from_maybe_shared(value).map_err(|e| {
        let what = "the client's secret cannot be a header value";
        TokenError::new(TokenErrorKind::Config, what).with_source(e)
    })?;
    value.set_sensitive(true);
    Ok((value, credentials))
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

    fn pair(id: &str, secret: &str, written: InHeader) -> String {
        let (header, credentials) = basic(id, secret, written).expect("valid");
        assert!(header.is_sensitive());
        let encoded = header.to_str().expect("ascii").strip_prefix("Basic ");
        assert_eq!(encoded, Some(credentials.secret()));
        let decoded = STANDARD.decode(credentials.secret()).expect("base64");
        String::from_utf8(decoded).expect("UTF-8")
    }

    #[test]
    fn basic_carries_id_and_secret_form_encoded_or_as_they_are() {
        for (id, secret, encoded) in [
            ("api", "s3cret", "api:s3cret"),
            ("a:b", "c:d", "a%3Ab:c%3Ad"),
            ("a b", "p+q%ü", "a%20b:p%2Bq%25%C3%BC"),
            ("api", "", "api:"),
        ] {
            assert_eq!(pair(id, secret, InHeader::Encoded), encoded);
            if !id.contains(':') {
                let plain = format!("{id}:{secret}");
                assert_eq!(pair(id, secret, InHeader::AsTheyAre), plain);
            }
        }
        let error = basic("a:b", "c", InHeader::AsTheyAre).expect_err("two colons");
        assert_eq!(error.kind(), TokenErrorKind::Config);
    }

    #[test]
    fn another_way_is_named_only_where_it_sends_something_else() {
        let hint = |id: &str, auth| {
            Client {
                id: Some(id.into()),
                auth,
            }
            .hint()
        };
        for (id, secret, is_other) in [
            ("api", "S3cret-._~", false),
            ("api", "s3cret!", true),
            ("a b", "s3cret", true),
            ("api", "ü", true),
        ] {
            let encoded = hint(id, ClientAuth::client_secret_basic(secret));
            assert_eq!(encoded.is_some(), is_other, "{id} {secret}");
            let plain = hint(id, ClientAuth::client_secret_basic_unencoded(secret));
            assert_eq!(plain.is_some(), is_other, "{id} {secret}");
            assert_eq!(hint(id, ClientAuth::client_secret_post(secret)), None);
        }
    }
}
