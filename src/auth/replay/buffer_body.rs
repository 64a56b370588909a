//! The policy that keeps a body while it is sent.

use std::fmt;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};

use crate::auth::replay::buffered::BufferedBody;
use crate::auth::replay::kept::{Kept, split};
use crate::auth::replay::policy::{ReplayPolicy, with_body};

/// Replay policy that keeps a request's body while it is sent, up to a number of
/// bytes.
///
/// For bodies that are not `Clone`: tonic's messages, reqwest's streams, a
/// `BoxBody`. Frames are kept as they are sent, and a replay sends them again and
/// then the rest. Nothing is copied or read ahead, because a frame is `Bytes`. The
/// frames are dropped once more was sent than fits, or the response has arrived; a
/// body that is known to be too long is not kept at all. Such a request is sent only
/// once ([`Outcome::NotCopied`](crate::Outcome::NotCopied)).
///
/// It serves `reqwest::Request`, and `http::Request` with http-body-util's `BoxBody`
/// and `UnsyncBoxBody`. For other bodies, [`boxed_by`](Self::boxed_by) sets how one
/// is made from any body:
///
/// ```
/// # use tower_bearer::{AccessToken, BearerAuthLayer, Origins, TokenCache};
/// use tower_bearer::BufferBody;
/// # use http_body_util::combinators::UnsyncBoxBody;
/// # type Body = UnsyncBoxBody<bytes::Bytes, tower::BoxError>;
/// # let tokens = TokenCache::new(AccessToken::new("t")?);
/// # let layer = BearerAuthLayer::new(tokens, Origins::any_https());
///
/// // `Body::new` is `tonic::body::Body::new`, or axum's.
/// let layer = layer.replay(BufferBody::up_to(64 * 1024).boxed_by(Body::new));
/// # let _ = layer;
/// # Ok::<_, tower_bearer::TokenError>(())
/// ```
pub struct BufferBody<B = ()> {
    limit: usize,
    wrap: fn(BufferedBody<B>) -> B,
}

impl BufferBody {
    /// Creates a policy that keeps at most this many bytes of each body, not
    /// counting trailers.
    pub fn up_to(bytes: usize) -> Self {
        Self {
            limit: bytes,
            wrap: |_| (),
        }
    }

    /// Sets how a body is made from a [`BufferedBody`], for bodies that this crate
    /// does not know: `tonic::body::Body::new`, `axum::body::Body::new`. The body
    /// type must be one that boxes any other.
    pub fn boxed_by<B>(self, wrap: fn(BufferedBody<B>) -> B) -> BufferBody<B> {
        BufferBody {
            limit: self.limit,
            wrap,
        }
    }
}

impl<B> Clone for BufferBody<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for BufferBody<B> {}

impl<B> fmt::Debug for BufferBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferBody")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// A request without its body, and what the body is made from.
pub struct Buffered<Req, B> {
    request: Req,
    /// `None` if the request is complete without it.
    body: Option<KeptBody<B>>,
}

struct KeptBody<B> {
    kept: Kept<B>,
    wrap: fn(BufferedBody<B>) -> B,
}

impl<B> KeptBody<B> {
    fn take_over(self) -> Option<B> {
        let shared = self.kept.take_over()?;
        Some((self.wrap)(BufferedBody::replay(shared)))
    }
}

impl<Req, B> fmt::Debug for Buffered<Req, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered").finish_non_exhaustive()
    }
}

/// Keeps the body of a request. Returns `None` if it is known to be too long.
fn buffer<B>(
    request: &mut Request<B>,
    limit: usize,
    wrap: fn(BufferedBody<B>) -> B,
) -> Option<Buffered<Request<B>, B>>
where
    B: Body<Data = Bytes> + Default + Unpin,
{
    if request.body().size_hint().lower() > limit as u64 {
        return None;
    }
    let copy = with_body(request, B::default());
    if request.body().is_end_stream() {
        let (request, body) = (copy, None);
        return Some(Buffered { request, body });
    }
    let (shared, kept) = split(std::mem::take(request.body_mut()), limit);
    *request.body_mut() = wrap(BufferedBody::first(shared));
    Some(Buffered {
        request: copy,
        body: Some(KeptBody { kept, wrap }),
    })
}

fn restore<B>(copy: Buffered<Request<B>, B>) -> Option<Request<B>> {
    let mut request = copy.request;
    if let Some(body) = copy.body {
        *request.body_mut() = body.take_over()?;
    }
    Some(request)
}

impl<B> ReplayPolicy<Request<B>> for BufferBody<B>
where
    B: Body<Data = Bytes> + Default + Unpin,
{
    type Copy = Buffered<Request<B>, B>;

    fn copy(&self, request: &mut Request<B>) -> Option<Self::Copy> {
        buffer(request, self.limit, self.wrap)
    }

    fn replay(copy: Self::Copy) -> Option<Request<B>> {
        restore(copy)
    }
}

impl<E: 'static> ReplayPolicy<Request<BoxBody<Bytes, E>>> for BufferBody {
    type Copy = Buffered<Request<BoxBody<Bytes, E>>, BoxBody<Bytes, E>>;

    fn copy(&self, request: &mut Request<BoxBody<Bytes, E>>) -> Option<Self::Copy> {
        buffer(request, self.limit, BoxBody::new)
    }

    fn replay(copy: Self::Copy) -> Option<Request<BoxBody<Bytes, E>>> {
        restore(copy)
    }
}

impl<E: 'static> ReplayPolicy<Request<UnsyncBoxBody<Bytes, E>>> for BufferBody {
    type Copy = Buffered<Request<UnsyncBoxBody<Bytes, E>>, UnsyncBoxBody<Bytes, E>>;

    fn copy(&self, request: &mut Request<UnsyncBoxBody<Bytes, E>>) -> Option<Self::Copy> {
        buffer(request, self.limit, UnsyncBoxBody::new)
    }

    fn replay(copy: Self::Copy) -> Option<Request<UnsyncBoxBody<Bytes, E>>> {
        restore(copy)
    }
}

/// A body that is already in memory is kept whatever its length.
#[cfg(feature = "reqwest")]
impl ReplayPolicy<reqwest::Request> for BufferBody {
    type Copy = Buffered<reqwest::Request, reqwest::Body>;

    fn copy(&self, request: &mut reqwest::Request) -> Option<Self::Copy> {
        let whole = |body: &reqwest::Body| body.as_bytes().is_some() || body.is_end_stream();
        if request.body().is_none_or(whole) {
            let (request, body) = (request.try_clone()?, None);
            return Some(Buffered { request, body });
        }
        let body = request.body_mut().take()?;
        if body.size_hint().lower() > self.limit as u64 {
            *request.body_mut() = Some(body);
            return None;
        }
        let copy = request.try_clone();
        let wrap: fn(BufferedBody<reqwest::Body>) -> reqwest::Body = reqwest::Body::wrap;
        let (shared, kept) = split(body, self.limit);
        *request.body_mut() = Some(wrap(BufferedBody::first(shared)));
        Some(Buffered {
            request: copy?,
            body: Some(KeptBody { kept, wrap }),
        })
    }

    fn replay(copy: Self::Copy) -> Option<reqwest::Request> {
        let mut request = copy.request;
        if let Some(body) = copy.body {
            *request.body_mut() = Some(body.take_over()?);
        }
        Some(request)
    }
}
