//! A request to an endpoint, and its response.

use std::fmt;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use zeroize::Zeroizing;

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A token request, or another one to the same server.
pub(crate) struct EndpointRequest<'a> {
    pub(crate) uri: &'a Uri,
    /// The name of the URL in errors: `the token endpoint`.
    pub(crate) endpoint_name: &'static str,
    pub(crate) authorization: Option<HeaderValue>,
    /// The form; without one the request is a GET. Its owner wipes it when the last
    /// clone is dropped.
    pub(crate) body: Option<Bytes>,
    /// What no error may contain, even if the server sends it back.
    pub(crate) secrets: &'a [&'a str],
}

impl EndpointRequest<'_> {
    pub(super) fn to_http(&self, uri: &Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone().unwrap_or_default()));
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, JSON);
        if self.body.is_some() {
            headers.insert(CONTENT_TYPE, FORM);
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if self.body.is_some() {
            *request.method_mut() = Method::POST;
        }
        request
    }

    /// Returns the endpoint's name with its host, and with the port if the URL has one:
    /// `the token endpoint at a.example`.
    pub(crate) fn endpoint(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        match self.uri.port() {
            Some(port) => format!("{} at {host}:{port}", self.endpoint_name),
            None => format!("{} at {host}", self.endpoint_name),
        }
    }

    /// Returns whether the text contains one of the secrets.
    pub(crate) fn echoes(&self, text: &str) -> bool {
        self.secrets.iter().any(|secret| echoes(text, secret))
    }
}

/// The response of the token endpoint.
pub(crate) struct EndpointResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Empty if the body of a refusal could not be read.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for EndpointResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Shorter pieces of a secret occur in ordinary words.
const MIN_PIECE: usize = 4;

/// Returns whether the text contains the secret, in any letter case, or a piece of
/// it between punctuation: a host name or an error code that repeats a password has
/// to omit the punctuation.
fn echoes(text: &str, secret: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // ASCII keeps its length, so the buffer never grows and leaves a copy behind.
    let secret = Zeroizing::new(secret.to_ascii_lowercase());
    let whole = !secret.is_empty() && text.contains(secret.as_str());
    whole
        || secret
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|piece| piece.len() >= MIN_PIECE && text.contains(piece))
}

#[cfg(test)]
mod tests {
    use super::echoes;

    #[test]
    fn a_secret_and_its_longer_pieces_are_known_again() {
        for (text, secret, echo) in [
            ("was_hunter2_wrong", "hunter2", true),
            ("hunter2", "HUNTER2", true),
            ("https://Hunter2.evil.test", "hunter2", true),
            ("hunter2_pass", "hunter2+pass", true),
            ("hunter2", "%%hunter2!", true),
            ("a_b", "b", true),
            ("a_b", "x:b:y", false),
            ("account_locked", "hunter2", false),
            ("account_locked", "", false),
        ] {
            assert_eq!(echoes(text, secret), echo, "{text} {secret}");
        }
    }
}
