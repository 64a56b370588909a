//! Answers to script.

use std::fmt;
use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, Entry, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::{End, MockBody, closed};
use super::reply::{Edit, error, with_type};

/// One answer to script, for the token endpoint or for the API.
///
/// The constructors say what is answered, the methods when and how it goes
/// wrong on the way. They combine:
///
/// ```
/// use std::time::Duration;
/// use http::StatusCode;
/// use tower_bearer::testing::MockResponse;
///
/// let overloaded = MockResponse::status(StatusCode::SERVICE_UNAVAILABLE).retry_after("120");
/// let slow = MockResponse::default().after(Duration::from_secs(3));
/// let odd = MockResponse::default().param("expires_in", "\"3000\"").without("refresh_token");
/// let lost = MockResponse::default().close_at(100);
/// # let _ = (overloaded, slow, odd, lost);
/// ```
#[derive(Clone)]
pub struct MockResponse {
    kind: Kind,
    after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
    edits: Vec<Edit>,
    breaks: Option<Break>,
}

#[derive(Clone)]
enum Kind {
    Unmocked,
    Fixed(StatusCode, Bytes),
    Echo,
    Close,
    Hang,
    Endless,
}

fn status_code(status: impl TryInto<StatusCode>) -> StatusCode {
    let Ok(status) = status.try_into() else {
        panic!("not an HTTP status");
    };
    status
}

#[derive(Clone, Copy, Debug)]
struct Break {
    at: usize,
    close: bool,
}

/// The response that the server gives without mock responses, to be changed by
/// the methods.
impl Default for MockResponse {
    fn default() -> Self {
        Self::new(Kind::Unmocked)
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

    /// A status with an empty body: `503` or `StatusCode::SERVICE_UNAVAILABLE`.
    ///
    /// # Panics
    ///
    /// If it is not a status.
    pub fn status(status: impl TryInto<StatusCode>) -> Self {
        Self::new(Kind::Fixed(status_code(status), Bytes::new()))
    }

    /// A status with the JSON of an OAuth 2.0 error (RFC 6749, section 5.2).
    pub fn error(status: impl TryInto<StatusCode>, code: &str) -> Self {
        let (parts, body) = error(status_code(status), code, "A mock response").into_parts();
        Self {
            headers: vec![(CONTENT_TYPE, parts.headers[CONTENT_TYPE].clone())],
            ..Self::new(Kind::Fixed(parts.status, body))
        }
    }

    /// Any status and body: garbage, HTML, JSON of another shape.
    ///
    /// # Panics
    ///
    /// If the content type is no header value.
    pub fn body(
        status: impl TryInto<StatusCode>,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self::new(Kind::Fixed(status_code(status), body.into())).header(CONTENT_TYPE, content_type)
    }

    /// A redirect.
    ///
    /// # Panics
    ///
    /// If the location is no header value.
    pub fn redirect(status: impl TryInto<StatusCode>, location: &str) -> Self {
        Self::status(status).header(LOCATION, location)
    }

    /// 401 with one `WWW-Authenticate` header for each challenge, none for an
    /// empty list.
    ///
    /// # Panics
    ///
    /// If a challenge is no header value.
    pub fn unauthorized<I>(challenges: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        challenges
            .into_iter()
            .fold(Self::status(StatusCode::UNAUTHORIZED), |answer, value| {
                answer.header(WWW_AUTHENTICATE, value)
            })
    }

    /// 403 with the challenge of RFC 6750, section 3.1: the token is good but
    /// not for this.
    ///
    /// # Panics
    ///
    /// If the scope is no header value.
    pub fn insufficient_scope(scope: &str) -> Self {
        Self::status(StatusCode::FORBIDDEN).header(
            WWW_AUTHENTICATE,
            format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""),
        )
    }

    /// 200 with the request's own body and content type. The API does so for a
    /// live token only.
    pub fn echo() -> Self {
        Self::new(Kind::Echo)
    }

    /// No answer: the connection closes (HTTP/2: the stream is reset; in
    /// process: the call fails). The request has no effect on the server.
    pub fn close() -> Self {
        Self::new(Kind::Close)
    }

    /// No answer, ever, and the connection stays open. The request has no
    /// effect on the server.
    pub fn hang() -> Self {
        Self::new(Kind::Hang)
    }

    /// 200 and a body of JSON that never ends, about 1 MiB a second.
    pub fn endless() -> Self {
        Self::new(Kind::Endless).header(CONTENT_TYPE, "application/json")
    }

    /// Holds the answer back for so long; at the token endpoint it takes the
    /// place of the server's own delay. The token endpoint decides on the
    /// answer when the request arrives, so its effect is there before the
    /// caller knows; the API looks at the token only when the delay is over.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = Some(delay);
        self
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// If the value is no header value (RFC 9110, section 5.5).
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref())
            .unwrap_or_else(|_| panic!("what is scripted for `{name}` is no header value"));
        self.headers.push((name, value));
        self
    }

    /// Adds a `Retry-After` header, which may be nonsense.
    ///
    /// # Panics
    ///
    /// If the value is no header value.
    #[must_use]
    pub fn retry_after(self, value: impl AsRef<[u8]>) -> Self {
        self.header(RETRY_AFTER, value)
    }

    /// Puts a member into the JSON of an [ordinary](Self::ordinary) token
    /// answer, in place of its own if it has one. The value is JSON and is sent
    /// as it is written: `"3000"` is a number, `"\"3000\""` a string.
    #[must_use]
    pub fn param(mut self, name: &str, json: impl Into<String>) -> Self {
        self.edits.push(Edit::new(name, Some(json.into())));
        self
    }

    /// Leaves a member out of the JSON of an [ordinary](Self::ordinary) token
    /// answer.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.edits.push(Edit::new(name, None));
        self
    }

    /// Sends so many bytes of the body and 20 ms later closes the connection.
    /// The last byte at least is never sent. What the request does on the
    /// server is done: the tokens of such an answer are issued, and lost.
    #[must_use]
    pub fn close_at(mut self, bytes: usize) -> Self {
        self.breaks = Some(Break {
            at: bytes,
            close: true,
        });
        self
    }

    /// Sends so many bytes of the body, then nothing more. As
    /// [`close_at`](Self::close_at), but the connection stays open.
    #[must_use]
    pub fn stall_at(mut self, bytes: usize) -> Self {
        self.breaks = Some(Break {
            at: bytes,
            close: false,
        });
        self
    }

    pub(super) fn delay(&self) -> Option<Duration> {
        self.after
    }

    /// Whether the request's body is needed to answer.
    pub(super) fn is_echo(&self) -> bool {
        matches!(self.kind, Kind::Echo)
    }

    /// The answer before anything goes wrong with it.
    pub(super) fn draft(
        &self,
        ordinary: impl FnOnce(&[Edit]) -> Response<Bytes>,
        echo: impl FnOnce() -> Response<Bytes>,
    ) -> Response<Bytes> {
        let mut draft = match &self.kind {
            Kind::Unmocked => ordinary(&self.edits),
            Kind::Fixed(status, body) => with_type(*status, None, body.clone()),
            Kind::Echo => echo(),
            Kind::Endless => with_type(StatusCode::OK, None, Bytes::from_static(b"{")),
            Kind::Close | Kind::Hang => Response::new(Bytes::new()),
        };
        for (name, value) in &self.headers {
            match draft.headers_mut().entry(name.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(value.clone());
                }
                Entry::Occupied(mut entry) => entry.append(value.clone()),
            }
        }
        draft
    }

    /// Sends a draft, as well or badly as scripted.
    pub(super) async fn send(self, draft: Response<Bytes>) -> io::Result<Response<MockBody>> {
        match self.kind {
            Kind::Close => return Err(closed()),
            Kind::Hang => pending().await,
            _ => {}
        }
        Ok(draft.map(|body| match self.breaks {
            _ if matches!(self.kind, Kind::Endless) => MockBody::new(body, End::Endless(None)),
            None => body.into(),
            Some(Break { at, close }) => MockBody::broken(body, at, close),
        }))
    }
}

/// Bodies and headers may hold tokens and are not shown.
impl fmt::Debug for MockResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Unmocked => "ordinary",
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
