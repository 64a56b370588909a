//! Mock responses, which the server sends instead of its own response.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use super::reply::{Edit, error, status_code};

/// Mock response of the token endpoint or of the API.
///
/// The constructors set what is sent, the methods when, and what goes wrong on the
/// way. They can be combined. Statuses are numbers or [`StatusCode`]s:
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::testing::MockResponse;
///
/// let overloaded = MockResponse::status(503).retry_after("120");
/// let slow = MockResponse::default().after(Duration::from_secs(3));
/// let unusual = MockResponse::default().param("expires_in", "\"3000\"").without("refresh_token");
/// let lost = MockResponse::default().close_at(100);
/// # let _ = (overloaded, slow, unusual, lost);
/// ```
///
/// Send them with
/// [`server.token_endpoint().enqueue(…)`](super::MockEndpoint::enqueue) and
/// [`server.api().set_default(…)`](super::MockEndpoint::set_default).
#[derive(Clone)]
pub struct MockResponse {
    pub(super) kind: Kind,
    pub(super) after: Option<Duration>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) edits: Vec<Edit>,
    pub(super) breaks: Option<Break>,
}

#[derive(Clone)]
pub(super) enum Kind {
    Default,
    Fixed(StatusCode, Bytes),
    Echo,
    Close,
    Hang,
    Endless,
}

/// Where the body breaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    /// After this many bytes.
    pub(super) at: usize,
    /// Whether the connection closes.
    pub(super) close: bool,
}

/// The server's own response, which the methods can change.
impl Default for MockResponse {
    fn default() -> Self {
        Self::new(Kind::Default)
    }
}

impl MockResponse {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            after: None,
            headers: Vec::new(),
            edits: Vec::new(),
            breaks: None,
        }
    }

    /// Responds with a status and an empty body.
    ///
    /// # Panics
    ///
    /// Panics if it is not an HTTP status, which is 100 to 999.
    pub fn status(status: impl TryInto<StatusCode>) -> Self {
        Self::new(Kind::Fixed(status_code(status), Bytes::new()))
    }

    /// Responds with a status and an OAuth 2.0 error in JSON (RFC 6749, section 5.2).
    ///
    /// # Panics
    ///
    /// Panics if it is not an HTTP status.
    pub fn error(status: impl TryInto<StatusCode>, code: &str) -> Self {
        let (parts, body) = error(status_code(status), code, "A mock response").into_parts();
        Self {
            headers: vec![(CONTENT_TYPE, parts.headers[CONTENT_TYPE].clone())],
            ..Self::new(Kind::Fixed(parts.status, body))
        }
    }

    /// Responds with any status and body: HTML, invalid JSON, JSON of another shape.
    ///
    /// # Panics
    ///
    /// Panics if it is not an HTTP status, or the content type is not a valid header
    /// value.
    pub fn body(
        status: impl TryInto<StatusCode>,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self::new(Kind::Fixed(status_code(status), body.into())).header(CONTENT_TYPE, content_type)
    }

    /// Responds with a redirect.
    ///
    /// # Panics
    ///
    /// Panics if it is not an HTTP status, or the location is not a valid header
    /// value.
    pub fn redirect(status: impl TryInto<StatusCode>, location: &str) -> Self {
        Self::status(status).header(LOCATION, location)
    }

    /// Responds with 401 and a `WWW-Authenticate` header for each challenge; for an
    /// empty list, without any.
    ///
    /// # Panics
    ///
    /// Panics if a challenge is not a valid header value.
    pub fn unauthorized<I>(challenges: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        challenges
            .into_iter()
            .fold(Self::status(StatusCode::UNAUTHORIZED), |response, value| {
                response.header(WWW_AUTHENTICATE, value)
            })
    }

    /// Responds with 403 and the challenge `insufficient_scope` (RFC 6750, section 3.1):
    /// the token is valid, but not for this request.
    ///
    /// # Panics
    ///
    /// Panics if the scope is not a valid header value.
    pub fn insufficient_scope(scope: &str) -> Self {
        Self::status(StatusCode::FORBIDDEN).header(
            WWW_AUTHENTICATE,
            format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""),
        )
    }

    /// Responds with 200 and the request's own body and content type. The API does
    /// so only for a valid token.
    pub fn echo() -> Self {
        Self::new(Kind::Echo)
    }

    /// Closes the connection without a response. Over HTTP/2 the stream is reset; in
    /// process the call fails. The request has no effect on the server.
    pub fn close() -> Self {
        Self::new(Kind::Close)
    }

    /// Sends no response, and leaves the connection open. The request has no effect on the
    /// server.
    pub fn hang() -> Self {
        Self::new(Kind::Hang)
    }

    /// Responds with 200 and JSON that never ends, about 1 MiB a second.
    pub fn endless() -> Self {
        Self::new(Kind::Endless).header(CONTENT_TYPE, "application/json")
    }

    /// Delays the response; at the token endpoint this replaces the [server's own
    /// delay](super::TokenServer::set_delay). The token endpoint processes the
    /// request when it arrives, the API checks the token after the delay.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = Some(delay);
        self
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// Panics if the value is not a valid header value (RFC 9110, section 5.5).
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref())
            .unwrap_or_else(|_| panic!("not a valid header value for `{name}`"));
        self.headers.push((name, value));
        self
    }

    /// Adds a `Retry-After` header: seconds, a date, or something invalid.
    ///
    /// # Panics
    ///
    /// Panics if the value is not a valid header value.
    #[must_use]
    pub fn retry_after(self, value: impl AsRef<[u8]>) -> Self {
        self.header(RETRY_AFTER, value)
    }

    /// Sets a member of the JSON in the server's own token response. The value is
    /// JSON and is sent unchanged: `"3000"` is a number, `"\"3000\""` a string.
    #[must_use]
    pub fn param(mut self, name: &str, json: impl Into<String>) -> Self {
        self.edits.push(Edit::new(name, Some(json.into())));
        self
    }

    /// Removes a member from the JSON in the server's own token response.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.edits.push(Edit::new(name, None));
        self
    }

    /// Closes the connection 20 ms after this many bytes of the body, and before the
    /// last byte in any case. The request is processed, so tokens in the response
    /// are issued and lost.
    #[must_use]
    pub fn close_at(mut self, bytes: usize) -> Self {
        self.breaks = Some(Break {
            at: bytes,
            close: true,
        });
        self
    }

    /// Stops sending after this many bytes of the body. Like
    /// [`close_at`](Self::close_at), but the connection stays open.
    #[must_use]
    pub fn stall_at(mut self, bytes: usize) -> Self {
        self.breaks = Some(Break {
            at: bytes,
            close: false,
        });
        self
    }
}

/// Bodies and headers may hold tokens and are not shown.
impl fmt::Debug for MockResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Default => "default",
            Kind::Fixed(status, _) => status.as_str(),
            Kind::Echo => "echo",
            Kind::Close => "close",
            Kind::Hang => "hang",
            Kind::Endless => "endless",
        };
        f.debug_struct("MockResponse")
            .field("kind", &kind)
            .field("after", &self.after)
            .field("breaks", &self.breaks)
            .finish_non_exhaustive()
    }
}
