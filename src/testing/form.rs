//! The form of a token request.

use std::pin::pin;
use std::task::Poll;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body::Body;
use url::form_urlencoded;

/// The largest request body that is read, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// The parameters of a form, decoded as the URL standard says.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let param = self.0.iter().find(|(n, _)| n == name);
        param.map(|(_, value)| value.as_str())
    }

    /// Returns whether a parameter is repeated. RFC 6749, section 3.2, forbids that;
    /// RFC 8693, section 2.1, allows it for two of them.
    pub(super) fn has_duplicates(&self) -> bool {
        let must_be_unique = |name: &&String| !["audience", "resource"].contains(&name.as_str());
        let names = || self.0.iter().map(|(name, _)| name).filter(must_be_unique);
        names()
            .enumerate()
            .any(|(i, a)| names().skip(i + 1).any(|b| a == b))
    }

    /// Returns the client's id and secret, from the Basic header if there is one,
    /// otherwise from the form (RFC 6749, section 2.3.1).
    pub(super) fn client(&self, headers: &HeaderMap) -> Option<(String, Option<String>)> {
        if let Some((id, secret)) = basic(headers) {
            return Some((id, Some(secret)));
        }
        let secret = self.value("client_secret").map(str::to_owned);
        Some((self.value("client_id")?.to_owned(), secret))
    }
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decode(id), decode(secret)))
}

/// Decodes an id or a secret, which are form-encoded before they are joined. A literal
/// `=` or `&` separates nothing here.
fn decode(text: &str) -> String {
    let text = text.replace('&', "%26").replace('=', "%3D");
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    pairs
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.and_then(|v| v.split(';').next()).unwrap_or_default();
    essence
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Reads a body to its end. Returns `None` if it breaks off or is too large. Nothing of
/// `B` is kept across a wait, so its data and error need not be `Send`.
pub(super) async fn read_body<B: Body>(body: B) -> Option<Bytes> {
    let mut body = pin!(body);
    let mut read = Vec::new();
    let whole = std::future::poll_fn(|cx| {
        loop {
            match std::task::ready!(body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(true),
                Some(Err(_)) => return Poll::Ready(false),
                Some(Ok(frame)) => {
                    let Ok(mut data) = frame.into_data() else {
                        continue;
                    };
                    if read.len() + data.remaining() > MAX_BODY {
                        return Poll::Ready(false);
                    }
                    while data.has_remaining() {
                        let chunk = data.chunk();
                        read.extend_from_slice(chunk);
                        let taken = chunk.len();
                        data.advance(taken);
                    }
                }
            }
        }
    })
    .await;
    whole.then(|| read.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_secret_in_the_header_is_decoded_after_base64() {
        for (plain, encoded) in [("a b+c&d=%", "a+b%2Bc%26d%3D%25"), ("a=b&c", "a=b&c")] {
            let value = format!("bAsIc {}", STANDARD.encode(format!("id%3A1:{encoded}")));
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().expect("a header value"));
            let client = Form::parse(b"client_id=other").client(&headers);
            assert_eq!(client, Some(("id:1".into(), Some(plain.into()))));
        }
    }

    #[test]
    fn a_repeated_parameter_is_found() {
        assert!(Form::parse(b"a=1&b=2&a=1").has_duplicates());
        assert!(!Form::parse(b"a=1&b=1").has_duplicates());
    }
}
