//! The body of a response, complete or broken.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::api_rejection::Trailers;

/// One piece of an endless body, and the pause after it. The pause lets paused time
/// advance, so that a reader's timeout can fire.
const PIECE: &[u8] = &[b' '; 1024];
const PAUSE: Duration = Duration::from_millis(1);

/// The pause before the connection closes, so that what was sent reaches the wire.
/// HTTP/2 needs it: a reset discards what is still queued.
const FLUSH: Duration = Duration::from_millis(20);

/// Response body of a [`TokenServer`](super::TokenServer).
///
/// It fails if a [`MockResponse`](super::MockResponse) closes the connection in the
/// middle of the body.
pub struct MockBody {
    rest: Bytes,
    end: End,
}

/// What follows the bytes.
pub(super) enum End {
    Clean,
    Trailers(Option<Box<HeaderMap>>),
    /// The connection closes after a pause, this many bytes short of the length.
    Close {
        missing: u64,
        pause: Option<Pin<Box<Sleep>>>,
    },
    /// Nothing more is sent, this many bytes short of the length.
    Silence {
        missing: u64,
    },
    /// Spaces without end.
    Endless(Option<Pin<Box<Sleep>>>),
}

impl MockBody {
    pub(super) fn new(rest: Bytes, end: End) -> Self {
        Self { rest, end }
    }

    /// Returns a body that breaks after this many bytes, at the latest before the
    /// last one: the connection closes, or nothing more is sent.
    pub(super) fn broken(body: Bytes, at: usize, close: bool) -> Self {
        let at = at.min(body.len().saturating_sub(1));
        let missing = (body.len() - at).max(1) as u64;
        let end = if close {
            let pause = None;
            End::Close { missing, pause }
        } else {
            End::Silence { missing }
        };
        Self::new(body.slice(..at), end)
    }
}

impl From<Bytes> for MockBody {
    fn from(body: Bytes) -> Self {
        Self::new(body, End::Clean)
    }
}

/// Returns a response with its whole body, and trailers if it has any.
pub(super) fn whole(mut response: Response<Bytes>) -> Response<MockBody> {
    let trailers = response.extensions_mut().remove::<Trailers>();
    response.map(|body| match trailers {
        Some(Trailers(trailers)) => MockBody::new(body, End::Trailers(Some(Box::new(trailers)))),
        None => body.into(),
    })
}

impl Body for MockBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        match &mut self.end {
            End::Clean => Poll::Ready(None),
            End::Trailers(trailers) => Poll::Ready(
                trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(*trailers))),
            ),
            End::Close { pause, .. } => {
                let pause = pause.get_or_insert_with(|| Box::pin(sleep(FLUSH)));
                pause.as_mut().poll(cx).map(|()| Some(Err(closed())))
            }
            End::Silence { .. } => Poll::Pending,
            End::Endless(pause) => {
                if let Some(sleep) = pause
                    && sleep.as_mut().poll(cx).is_pending()
                {
                    return Poll::Pending;
                }
                *pause = Some(Box::pin(sleep(PAUSE)));
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && matches!(self.end, End::Clean | End::Trailers(None))
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        match self.end {
            End::Clean | End::Trailers(_) => SizeHint::with_exact(rest),
            End::Close { missing, .. } | End::Silence { missing } => {
                SizeHint::with_exact(rest + missing)
            }
            End::Endless(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for MockBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockBody")
            .field("bytes", &self.rest.len())
            .finish_non_exhaustive()
    }
}

/// Returns the error of a connection that a mock response closes.
pub(super) fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the test server closed the connection, as a mock response says",
    )
}
