//! The parts of a request and a response that the layer needs, so that one
//! implementation serves `http` and reqwest.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{AUTHORIZATION, Entry};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::{Sleep, sleep};

use crate::error::{TokenError, TokenErrorKind};
use crate::origins::{OriginId, Origins};

mod sealed {
    pub trait Sealed {}
}

/// A request that a token can be attached to: an [`http::Request`] of any body
/// and, with the feature `reqwest`, a `reqwest::Request`.
///
/// Code that is generic over the two needs one bound, that the layer's service can send
/// the request:
///
/// ```
/// use tower::{BoxError, Service, ServiceExt};
/// use tower_bearer::{BearerAuth, HttpRequest, HttpResponse};
///
/// struct Api<S> {
///     service: BearerAuth<S>,
/// }
///
/// impl<S: Clone> Api<S> {
///     async fn send<Req, Res>(&self, request: Req) -> Result<Res, BoxError>
///     where
///         Req: HttpRequest,
///         Res: HttpResponse,
///         BearerAuth<S>: Service<Req, Response = Res, Error: Into<BoxError>>,
///     {
///         self.service.clone().oneshot(request).await.map_err(Into::into)
///     }
/// }
/// ```
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "a token cannot be attached to `{Self}`",
    note = "it can be to an `http::Request` of any body and, with the feature `reqwest`, to a `reqwest::Request` (of reqwest 0.13)"
)]
pub trait HttpRequest: sealed::Sealed {
    #[doc(hidden)]
    fn origin(&self, origins: &Origins) -> Option<OriginId>;
    #[doc(hidden)]
    fn has_origin(&self) -> bool;
    /// Returns the origin as a log may show it.
    #[doc(hidden)]
    fn shown_origin(&self) -> String;
    #[doc(hidden)]
    fn headers(&self) -> &HeaderMap;
    #[doc(hidden)]
    fn headers_mut(&mut self) -> &mut HeaderMap;
}

/// A response whose rejection of a token the layer can read: an
/// [`http::Response`] whose body is a [`Body`] and, with the feature `reqwest`,
/// a `reqwest::Response`.
///
/// For code that is generic over the two: [`HttpRequest`] shows how. This trait is
/// sealed.
#[diagnostic::on_unimplemented(
    message = "the layer cannot read `{Self}`",
    note = "it reads an `http::Response` whose body implements `http_body::Body` and, with the feature `reqwest`, a `reqwest::Response` (of reqwest 0.13)"
)]
pub trait HttpResponse: sealed::Sealed {
    #[doc(hidden)]
    type Drain: Future<Output = ()>;
    #[doc(hidden)]
    fn status(&self) -> StatusCode;
    #[doc(hidden)]
    fn headers(&self) -> &HeaderMap;
    #[doc(hidden)]
    fn extensions_mut(&mut self) -> &mut Extensions;
    /// Returns the origin that the response came from, which redirects may have
    /// changed.
    #[doc(hidden)]
    fn origin(&self) -> Option<OriginId>;
    /// Reads the body to its end, at most [`DRAIN_BYTES`] within [`DRAIN_TIME`], so
    /// that the client can use the connection again.
    #[doc(hidden)]
    fn drain(self) -> Self::Drain;
}

/// Much more than an API sends with a 401.
const DRAIN_BYTES: usize = 256 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(100);

/// Returns why a request that is for none of the origins cannot be sent; `None` if
/// it passes without a token. A request whose caller set `Authorization` always
/// passes.
pub(crate) fn destination_error<Req: HttpRequest>(request: &Req) -> Option<TokenError> {
    let unknown = !request.has_origin() && !has_authorization(request);
    unknown.then(|| {
        TokenError::new(
            TokenErrorKind::RelativeUri,
            "the request's URI has no scheme and host, so its destination is unknown: give the \
             whole URI (with tonic, the client's `with_origin`), or name the one server that the \
             client is bound to (`Origins::for_relative_uris`)",
        )
    })
}

/// Returns whether the request already has an `Authorization`.
pub(crate) fn has_authorization<Req: HttpRequest>(request: &Req) -> bool {
    request.headers().contains_key(AUTHORIZATION)
}

/// Sets the header, replacing any other.
pub(crate) fn authorize<Req: HttpRequest>(request: &mut Req, value: &HeaderValue) {
    request.headers_mut().insert(AUTHORIZATION, value.clone());
}

/// Adds the header unless the caller set one; returns whether it did.
///
/// Inlined so that the compiler knows the header's name where it is hashed, which is
/// half of the cost. Without that, the speed depended on how the compiler split the
/// crate.
#[inline(always)]
pub(crate) fn attach(headers: &mut HeaderMap, value: impl FnOnce() -> HeaderValue) -> bool {
    if let Ok(false) = headers.try_append(AUTHORIZATION, value()) {
        return true;
    }
    remove_last(headers);
    false
}

#[cold]
fn remove_last(headers: &mut HeaderMap) {
    let Entry::Occupied(mut entry) = headers.entry(AUTHORIZATION) else {
        return;
    };
    let mut values: Vec<_> = entry.iter().cloned().collect();
    values.pop();
    let mut values = values.into_iter();
    if let Some(first) = values.next() {
        entry.insert(first);
        values.for_each(|value| entry.append(value));
    }
}

impl<B> sealed::Sealed for Request<B> {}

impl<B> HttpRequest for Request<B> {
    #[inline]
    fn origin(&self, origins: &Origins) -> Option<OriginId> {
        origins.origin_of(self.uri())
    }

    fn has_origin(&self) -> bool {
        self.uri().scheme().is_some() && self.uri().authority().is_some()
    }

    fn shown_origin(&self) -> String {
        let scheme = self.uri().scheme_str().unwrap_or_default();
        let host = self.uri().host().unwrap_or_default();
        match self.uri().port_u16() {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }

    #[inline]
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    #[inline]
    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

impl<B> sealed::Sealed for Response<B> {}

impl<B: Body> HttpResponse for Response<B> {
    type Drain = DrainBody<B>;

    #[inline]
    fn status(&self) -> StatusCode {
        self.status()
    }

    #[inline]
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    #[inline]
    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }

    fn origin(&self) -> Option<OriginId> {
        None
    }

    fn drain(self) -> DrainBody<B> {
        DrainBody {
            body: Box::pin(self.into_body()),
            left: DRAIN_BYTES,
            timer: Box::pin(sleep(DRAIN_TIME)),
            is_read: false,
        }
    }
}

/// Future that reads a body to its end, and discards it.
#[derive(Debug)]
pub struct DrainBody<B> {
    body: Pin<Box<B>>,
    left: usize,
    timer: Pin<Box<Sleep>>,
    is_read: bool,
}

impl<B: Body> DrainBody<B> {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let too_long = self.body.size_hint().lower() > self.left as u64;
            if too_long || self.body.is_end_stream() || self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let Some(Ok(frame)) = ready!(self.body.as_mut().poll_frame(cx)) else {
                return Poll::Ready(());
            };
            let read = frame.data_ref().map_or(0, bytes::Buf::remaining);
            match self.left.checked_sub(read) {
                Some(left) => self.left = left,
                None => return Poll::Ready(()),
            }
        }
    }
}

impl<B: Body> Future for DrainBody<B> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_read {
            return Poll::Ready(());
        }
        ready!(self.poll_read(cx));
        // hyper's client returns the connection to its pool in another task, which
        // was woken after this one. On a single-threaded runtime a replay that is
        // sent at once would always find the pool empty.
        self.is_read = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(feature = "reqwest")]
impl sealed::Sealed for reqwest::Request {}

#[cfg(feature = "reqwest")]
impl HttpRequest for reqwest::Request {
    fn origin(&self, origins: &Origins) -> Option<OriginId> {
        origins.origin_of_url(self.url())
    }

    fn has_origin(&self) -> bool {
        true
    }

    fn shown_origin(&self) -> String {
        self.url().origin().ascii_serialization()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

#[cfg(feature = "reqwest")]
impl sealed::Sealed for reqwest::Response {}

#[cfg(feature = "reqwest")]
impl HttpResponse for reqwest::Response {
    type Drain = DrainBody<reqwest::Body>;

    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }

    fn origin(&self) -> Option<OriginId> {
        OriginId::of_url(self.url())
    }

    fn drain(self) -> DrainBody<reqwest::Body> {
        Response::<reqwest::Body>::from(self).drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_of_the_callers_own_is_left_as_it_is() {
        let token = HeaderValue::from_static("Bearer token");
        for own in [&[][..], &["Basic bWU="], &["Basic bWU=", "Bearer other"]] {
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static("*/*"));
            for value in own {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            let before = headers.clone();
            if attach(&mut headers, || token.clone()) {
                assert!(own.is_empty());
                assert_eq!(headers.remove(AUTHORIZATION), Some(token.clone()));
            } else {
                assert!(!own.is_empty());
            }
            assert_eq!(headers, before);
        }
    }
}
