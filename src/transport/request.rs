//! Sends one token request and reads the response, within limits.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::transport::body::{ReadError, collect};
use crate::transport::closed::{self, Ended};
use crate::transport::{Transport, redirect};

const MAX_REDIRECTS: usize = 5;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How long a request may take in all, and how many bytes a response may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) max_response: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_response: 64 * 1024,
        }
    }
}

/// A token request, or another one to the same server.
pub(crate) struct EndpointRequest<'a> {
    pub(crate) uri: &'a Uri,
    /// What the URL is, in words: `the token endpoint`.
    pub(crate) endpoint_name: &'static str,
    pub(crate) authorization: Option<HeaderValue>,
    /// The form; without one the request is a GET. Its owner wipes it when the
    /// last clone is dropped.
    pub(crate) body: Option<Bytes>,
    /// What no error may hold, even if the server sends it back.
    pub(crate) secrets: &'a [&'a str],
}

impl EndpointRequest<'_> {
    fn request(&self, uri: &Uri) -> Request<Full<Bytes>> {
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

    /// Names the endpoint with its host: `the token endpoint at a.example`.
    pub(crate) fn endpoint(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        format!("{} at {host}", self.endpoint_name)
    }

    /// Whether the text holds one of the secrets.
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

/// Sends a token request, follows redirects within its origin, and reads the
/// response, all before one deadline.
pub(crate) async fn send_request<T: Transport>(
    mut transport: T,
    request: &EndpointRequest<'_>,
    limits: Limits,
) -> Result<EndpointResponse, TokenError> {
    if Handle::try_current().is_err() {
        let what = "a token was requested outside a tokio runtime";
        return Err(TokenError::new(TokenErrorKind::NoRuntime, what));
    }
    let now = Instant::now();
    // A timeout that is too long to be added never ends.
    let deadline = now.checked_add(limits.timeout).unwrap_or(now + FOREVER);
    let late = |_| {
        let (endpoint, timeout) = (request.endpoint(), limits.timeout);
        let what = format!("the request to {endpoint} did not finish within {timeout:?}");
        TokenError::new(TokenErrorKind::Timeout, what)
    };
    let response = timeout_at(deadline, follow(&mut transport, request))
        .await
        .map_err(late)??;
    let (head, body) = response.into_parts();
    let body = match timeout_at(deadline, collect(body, limits.max_response)).await {
        Ok(Ok(body)) => body,
        // The status of a failure says what matters. If its unreadable body
        // made the failure transient, a wrong password would be sent again and
        // again.
        _ if !head.status.is_success() => Zeroizing::default(),
        Ok(Err(ReadError::TooLarge)) => {
            let (endpoint, max) = (request.endpoint(), limits.max_response);
            let what = format!("the response of {endpoint} is larger than {max} bytes");
            return Err(TokenError::new(TokenErrorKind::InvalidResponse, what)
                .with_response(head.status, None));
        }
        Ok(Err(ReadError::Broken(error))) => {
            let what = format!("the response of {} broke off", request.endpoint());
            return Err(TokenError::new(TokenErrorKind::Connect, what).with_source(error));
        }
        Err(elapsed) => return Err(late(elapsed)),
    };
    Ok(EndpointResponse {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// How far ahead tokio's own `sleep` puts a deadline that is too far away.
const FOREVER: Duration = Duration::from_secs(86400 * 365 * 30);

async fn follow<T: Transport>(
    transport: &mut T,
    request: &EndpointRequest<'_>,
) -> Result<Response<T::Body>, TokenError> {
    let mut uri = request.uri.clone();
    let may_repeat = request.body.as_deref().is_none_or(closed::may_repeat);
    let mut repeated = false;
    for _ in 0..=MAX_REDIRECTS {
        let mut response = transport.send(request.request(&uri)).await;
        if let Err(error) = &response
            && !repeated
            && let Some(became) = closed::ended(&**error)
            && (may_repeat || became == Ended::NotProcessed)
        {
            repeated = true;
            response = transport.send(request.request(&uri)).await;
        }
        let response = response.map_err(|e| unreachable(request, e))?;
        let status = response.status();
        if !status.is_redirection() {
            return Ok(response);
        }
        let echoes = |text: &str| request.echoes(text);
        let endpoint = request.endpoint();
        uri = redirect::target(&uri, &endpoint, status, response.headers(), echoes)?;
    }
    let endpoint = request.endpoint();
    let what = format!("{endpoint} redirected more than {MAX_REDIRECTS} times");
    Err(TokenError::new(TokenErrorKind::UnexpectedRedirect, what))
}

/// Wraps the transport's error, unless it is a [`TokenError`] already.
fn unreachable(request: &EndpointRequest<'_>, error: BoxError) -> TokenError {
    match error.downcast::<TokenError>() {
        Ok(error) => *error,
        Err(error) => {
            let what = format!("{} could not be reached", request.endpoint());
            TokenError::new(TokenErrorKind::Connect, what).with_source(error)
        }
    }
}

/// Shorter pieces of a secret occur in ordinary words.
const MIN_PIECE: usize = 4;

/// Whether the text holds the secret, in any letter case, or a piece of it
/// between punctuation: a host name or an error code that repeats a password has
/// to leave the punctuation out.
fn echoes(text: &str, secret: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // ASCII keeps its length, so the buffer never grows and leaves nothing
    // behind.
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
