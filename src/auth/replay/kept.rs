//! A body in flight, and the frames of it that a replay would need.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::sync::lock;

/// State shared by a body in flight and its [`Kept`] part.
pub(super) struct Shared<B> {
    /// The part that is yet to be read. `None` once it has ended.
    rest: Option<B>,
    /// Frames that were read, as long as they are kept.
    frames: VecDeque<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    limit: usize,
    stage: Stage,
    /// The waker of the request in flight, while it waits for a frame.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Frames are kept as they are sent.
    Keeping,
    /// There is nothing to replay: the body is too long, it has failed, or no replay
    /// will be sent.
    Released,
    /// The replay has taken over: the first request gets no more frames.
    Replaying,
}

pub(super) type SharedBody<B> = Arc<Mutex<Shared<B>>>;

/// What is needed to send a body again. Dropping it unused ends the keeping of
/// frames.
pub(crate) struct Kept<B>(SharedBody<B>);

/// Splits a body into the part that is sent and the part that is kept.
pub(super) fn split<B>(body: B, limit: usize) -> (SharedBody<B>, Kept<B>) {
    let shared = Arc::new(Mutex::new(Shared {
        rest: Some(body),
        frames: VecDeque::new(),
        bytes: 0,
        trailers: None,
        limit,
        stage: Stage::Keeping,
        waker: None,
    }));
    (shared.clone(), Kept(shared))
}

impl<B> Kept<B> {
    /// Takes the body over from the request that was sent with it. Returns `None` if
    /// not everything that was sent has been kept.
    pub(super) fn take_over(self) -> Option<SharedBody<B>> {
        let mut shared = lock(&self.0);
        if shared.stage != Stage::Keeping {
            return None;
        }
        shared.stage = Stage::Replaying;
        let waker = shared.waker.take();
        drop(shared);
        // Tells a connection that waits for more of the body that there is no more.
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(self.0.clone())
    }
}

impl<B> Drop for Kept<B> {
    fn drop(&mut self) {
        lock(&self.0).release();
    }
}

impl<B> Shared<B> {
    fn release(&mut self) {
        if self.stage == Stage::Keeping {
            self.stage = Stage::Released;
            (self.frames, self.bytes, self.trailers) = (VecDeque::new(), 0, None);
        }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.stage != Stage::Keeping {
            return;
        }
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) if data.len() > self.limit - self.bytes => self.release(),
            (Some(data), _) if !data.is_empty() => {
                self.bytes += data.len();
                self.frames.push_back(data.clone());
            }
            (_, Some(trailers)) => self.trailers = Some(trailers.clone()),
            _ => {}
        }
    }
}

type Polled<B> = Poll<Option<Result<Frame<Bytes>, <B as Body>::Error>>>;

impl<B: Body<Data = Bytes> + Unpin> Shared<B> {
    /// Reads on, for the first request.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Polled<B> {
        if self.stage == Stage::Replaying {
            return Poll::Ready(None);
        }
        let polled = self.poll_rest(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.keep(frame),
            Poll::Ready(Some(Err(_))) => self.release(),
            Poll::Ready(None) => {}
            Poll::Pending => self.waker = Some(cx.waker().clone()),
        }
        polled
    }

    /// Returns the kept frames, and then the rest.
    pub(super) fn poll_replay(&mut self, cx: &mut Context<'_>) -> Polled<B> {
        if let Some(data) = self.frames.pop_front() {
            self.bytes -= data.len();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.trailers.take() {
            Some(trailers) => {
                self.rest = None;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            None => self.poll_rest(cx),
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Polled<B> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(rest).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) {
            self.rest = None;
        }
        polled
    }

    pub(super) fn is_first_at_end(&self) -> bool {
        let ended = || self.rest.as_ref().is_none_or(Body::is_end_stream);
        self.stage == Stage::Replaying || ended()
    }

    pub(super) fn is_replay_at_end(&self) -> bool {
        let ended = || self.rest.as_ref().is_none_or(Body::is_end_stream);
        self.frames.is_empty() && self.trailers.is_none() && ended()
    }

    pub(super) fn first_size_hint(&self) -> SizeHint {
        match &self.rest {
            Some(rest) if self.stage != Stage::Replaying => rest.size_hint(),
            _ => SizeHint::with_exact(0),
        }
    }

    pub(super) fn replay_size_hint(&self) -> SizeHint {
        let kept = self.bytes as u64;
        let rest = self.rest.as_ref().filter(|_| self.trailers.is_none());
        let rest = rest.map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(kept));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(kept)) {
            hint.set_upper(upper);
        }
        hint
    }
}
