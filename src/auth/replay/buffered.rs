//! The body of a request whose frames are kept.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::auth::replay::kept::SharedBody;
use crate::sync::lock;

/// Request body whose frames [`BufferBody`](crate::BufferBody) keeps while they are
/// sent, or the body of a replay, made of the kept frames and the rest.
///
/// Its frames, trailers, size and errors are those of the original body. The body of
/// the first request ends as soon as the replay has begun, because the API has
/// rejected that request.
pub struct BufferedBody<B> {
    shared: SharedBody<B>,
    is_replay: bool,
}

impl<B> BufferedBody<B> {
    pub(super) fn first(shared: SharedBody<B>) -> Self {
        Self {
            shared,
            is_replay: false,
        }
    }

    pub(super) fn replay(shared: SharedBody<B>) -> Self {
        Self {
            shared,
            is_replay: true,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for BufferedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut shared = lock(&self.shared);
        match self.is_replay {
            true => shared.poll_replay(cx),
            false => shared.poll_first(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        match self.is_replay {
            true => shared.is_replay_at_end(),
            false => shared.is_first_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let shared = lock(&self.shared);
        match self.is_replay {
            true => shared.replay_size_hint(),
            false => shared.first_size_hint(),
        }
    }
}

impl<B> fmt::Debug for BufferedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedBody")
            .field("is_replay", &self.is_replay)
            .finish_non_exhaustive()
    }
}
