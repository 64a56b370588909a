//! The policies, except the one that keeps a body while it is sent.

use std::convert::Infallible;

use http::Request;
use http_body::Body;

/// Policy that decides, before a request is sent, whether it could be sent again, by
/// copying it. The copy is sent if the API rejects the token and a newer one is
/// available.
///
/// | policy | replays | for bodies that are |
/// |---|---|---|
/// | [`CloneBody`], the default | every request | `Clone` |
/// | [`EmptyBody`] | requests without a body | `Default` |
/// | [`BufferBody`](crate::BufferBody) | requests of which little was sent | boxes of any body, like tonic's and reqwest's |
/// | [`NoReplay`] | none | anything |
/// | a closure `Fn(&Request) -> Option<Request>` | what it copies | anything |
///
/// A body that is not `Clone` needs a policy other than the default:
///
/// ```
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::combinators::BoxBody;
/// # use tower::{BoxError, Layer, Service};
/// # use tower_bearer::{BearerAuthLayer, EmptyBody};
/// type Body = BoxBody<Bytes, BoxError>;
///
/// fn stack<S>(layer: BearerAuthLayer, client: S) -> impl Service<Request<Body>>
/// where
///     S: Service<Request<Body>, Response = Response<Body>> + Clone,
/// {
///     layer.replay(EmptyBody).layer(client)
/// }
/// ```
///
/// The compiler names the policies only where a service is required, as by the
/// return type here or by tonic's clients. For a bare `.call` or `.oneshot` it
/// reports only that the method does not exist.
///
/// ```compile_fail,E0277
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::combinators::BoxBody;
/// # use tower::{BoxError, Layer, Service};
/// # use tower_bearer::{BearerAuthLayer, EmptyBody};
/// type Body = BoxBody<Bytes, BoxError>;
///
/// fn stack<S>(layer: BearerAuthLayer, client: S) -> impl Service<Request<Body>>
/// where
///     S: Service<Request<Body>, Response = Response<Body>> + Clone,
/// {
///     layer.layer(client) // `CloneBody` cannot copy `Request<BoxBody<…>>`
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot copy `{Req}` for a replay after a 401",
    label = "this body cannot be copied by `{Self}`",
    note = "`CloneBody`, the default, needs a body that is `Clone` (`Full<Bytes>`, `String`, `axum::body::Bytes`)",
    note = "for other bodies: `layer.replay(EmptyBody)` replays requests that have no body and needs `B: Default` (`BoxBody`, tonic's, reqwest's), `layer.replay(NoReplay)` replays none",
    note = "`layer.replay(BufferBody::up_to(64 * 1024).boxed_by(Body::new))` replays what is small, for a `Body` that boxes any other (tonic's, axum's)"
)]
pub trait ReplayPolicy<Req> {
    /// What is kept of a request while it is in flight.
    type Copy;

    /// Returns what is needed to send the request again, or `None` if it is sent
    /// only once. May change how the request is sent, not what is sent.
    fn copy(&self, request: &mut Req) -> Option<Self::Copy>;

    /// Returns the request to send again, without a token, or `None` if it cannot be
    /// sent again after all.
    fn replay(copy: Self::Copy) -> Option<Req>;
}

/// Policy that replays every request by cloning it, including its body. The default.
///
/// For `reqwest::Request` this is `try_clone`: a streaming body is sent only once.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneBody;

/// Policy that replays requests whose body is empty from the start
/// ([`Body::is_end_stream`]), for body types that are not `Clone`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyBody;

/// Policy that replays nothing. A rejection still leads to a newer token.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReplay;

impl<B: Clone> ReplayPolicy<Request<B>> for CloneBody {
    type Copy = Request<B>;

    #[inline]
    fn copy(&self, request: &mut Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }

    fn replay(copy: Request<B>) -> Option<Request<B>> {
        Some(copy)
    }
}

impl<B: Body + Default> ReplayPolicy<Request<B>> for EmptyBody {
    type Copy = Request<B>;

    fn copy(&self, request: &mut Request<B>) -> Option<Request<B>> {
        let empty = request.body().is_end_stream();
        empty.then(|| with_body(request, B::default()))
    }

    fn replay(copy: Request<B>) -> Option<Request<B>> {
        Some(copy)
    }
}

/// Returns a copy of the request with this body.
pub(super) fn with_body<B>(request: &Request<B>, body: B) -> Request<B> {
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

impl<Req> ReplayPolicy<Req> for NoReplay {
    type Copy = Infallible;

    #[inline]
    fn copy(&self, _: &mut Req) -> Option<Infallible> {
        None
    }

    fn replay(copy: Infallible) -> Option<Req> {
        match copy {}
    }
}

impl<F, Req> ReplayPolicy<Req> for F
where
    F: Fn(&Req) -> Option<Req>,
{
    type Copy = Req;

    fn copy(&self, request: &mut Req) -> Option<Req> {
        self(request)
    }

    fn replay(copy: Req) -> Option<Req> {
        Some(copy)
    }
}

#[cfg(feature = "reqwest")]
impl ReplayPolicy<reqwest::Request> for CloneBody {
    type Copy = reqwest::Request;

    fn copy(&self, request: &mut reqwest::Request) -> Option<reqwest::Request> {
        request.try_clone()
    }

    fn replay(copy: reqwest::Request) -> Option<reqwest::Request> {
        Some(copy)
    }
}

#[cfg(feature = "reqwest")]
impl ReplayPolicy<reqwest::Request> for EmptyBody {
    type Copy = reqwest::Request;

    fn copy(&self, request: &mut reqwest::Request) -> Option<reqwest::Request> {
        let empty = request.body().is_none_or(Body::is_end_stream);
        empty.then(|| request.try_clone()).flatten()
    }

    fn replay(copy: reqwest::Request) -> Option<reqwest::Request> {
        Some(copy)
    }
}
