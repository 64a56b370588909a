//! Which requests can be sent a second time after a 401.

use http::Request;
use http_body::Body;

/// Decides, before a request is sent, whether it could be sent again, by
/// copying it. The copy waits beside the request and is sent if the API answers
/// 401 and a newer token can be had.
///
/// Besides the policies here, any closure `Fn(&Request) -> Option<Request>` is
/// one.
///
/// A body that is not `Clone` needs another policy than the default:
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
/// The compiler names the policies wherever something asks for a service, as
/// the return type here or tonic's clients do. A bare `.call` or `.oneshot` only
/// gets to hear that there is no such method.
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
    note = "for other bodies: `layer.replay(EmptyBody)` replays requests that have no body and needs `B: Default` (`BoxBody`, tonic's, reqwest's), `layer.replay(NoReplay)` replays none"
)]
pub trait ReplayPolicy<Req> {
    /// A copy to send again, or `None` if this request is sent once only.
    fn copy(&self, request: &Req) -> Option<Req>;
}

/// Replays every request by cloning it, body and all. The default.
///
/// For `reqwest::Request` this is `try_clone`: a streaming body is sent once
/// only.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneBody;

/// Replays requests whose body is empty from the start
/// ([`Body::is_end_stream`]), for body types that are not `Clone`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyBody;

/// Replays nothing. A 401 still makes the token give way to a new one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReplay;

impl<B: Clone> ReplayPolicy<Request<B>> for CloneBody {
    fn copy(&self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

impl<B: Body + Default> ReplayPolicy<Request<B>> for EmptyBody {
    fn copy(&self, request: &Request<B>) -> Option<Request<B>> {
        if !request.body().is_end_stream() {
            return None;
        }
        let mut copy = Request::new(B::default());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.version_mut() = request.version();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        Some(copy)
    }
}

impl<Req> ReplayPolicy<Req> for NoReplay {
    #[inline]
    fn copy(&self, _: &Req) -> Option<Req> {
        None
    }
}

impl<F, Req> ReplayPolicy<Req> for F
where
    F: Fn(&Req) -> Option<Req>,
{
    fn copy(&self, request: &Req) -> Option<Req> {
        self(request)
    }
}

#[cfg(feature = "reqwest")]
impl ReplayPolicy<reqwest::Request> for CloneBody {
    fn copy(&self, request: &reqwest::Request) -> Option<reqwest::Request> {
        request.try_clone()
    }
}

#[cfg(feature = "reqwest")]
impl ReplayPolicy<reqwest::Request> for EmptyBody {
    fn copy(&self, request: &reqwest::Request) -> Option<reqwest::Request> {
        let empty = request.body().is_none_or(Body::is_end_stream);
        empty.then(|| request.try_clone()).flatten()
    }
}
