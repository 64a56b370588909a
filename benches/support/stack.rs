//! The request, the inner service and the layers that are measured.

use std::future::Future;
use std::hint::black_box;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use tower::Service;
use tower_bearer::{AccessToken, BearerAuthLayer, NoReplay, Origins, TokenCache, TokenSource};
use tower_http::set_header::SetRequestHeaderLayer;

/// The token's length: 1.1 KiB.
const TOKEN_LENGTH: usize = 1126;

/// A token of the usual size.
pub(crate) fn token() -> String {
    "x".repeat(TOKEN_LENGTH)
}

/// Builds a new request, the same everywhere here.
#[inline(never)]
pub(crate) fn request<B>(body: B) -> Request<B> {
    Request::get("https://api.example.com/v1/calls")
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "bench/1.0")
        .body(body)
        .expect("a valid request")
}

/// An inner service that does nothing, with any error type.
pub(crate) struct Noop<E = std::convert::Infallible>(PhantomData<fn() -> E>);

impl<E> Noop<E> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Clone for Noop<E> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<B, E> Service<Request<B>> for Noop<E> {
    type Response = Response<Empty<Bytes>>;
    type Error = E;
    type Future = MockResponse<E>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    // Not inlined, as a client's `call` would not be.
    #[inline(never)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        MockResponse(PhantomData)
    }
}

/// As with a real client, the future is small and makes its response when it is
/// polled.
pub(crate) struct MockResponse<E>(PhantomData<fn() -> E>);

impl<E> Future for MockResponse<E> {
    type Output = Result<Response<Empty<Bytes>>, E>;

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(Response::new(Empty::new())))
    }
}

/// tower-http's constant header, of the same size.
pub(crate) fn constant() -> SetRequestHeaderLayer<HeaderValue> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token())).expect("a header value");
    SetRequestHeaderLayer::overriding(AUTHORIZATION, value)
}

/// A cache whose token outlives the bench.
pub(crate) fn live_cache() -> TokenCache {
    let token = AccessToken::new(token()).expect("a token");
    TokenCache::new(token.with_lifetime(Duration::from_secs(3000)))
}

/// A cache over any source.
pub(crate) fn cache(source: impl TokenSource) -> TokenCache {
    TokenCache::new(source)
}

/// The layer with one allowed origin and no replay.
pub(crate) fn bearer(tokens: &TokenCache) -> BearerAuthLayer<NoReplay> {
    let origins = Origins::only(["https://api.example.com"]).expect("an origin");
    BearerAuthLayer::new(tokens.clone(), origins).replay(NoReplay)
}
