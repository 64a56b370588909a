//! The inner service: does nothing on the hot path; during a rotation, an API that
//! rejects an expired token.

use std::future::{Ready, ready};
use std::hint::black_box;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tower::Service;

use crate::endpoint::is_alive;

pub(crate) struct Api<E> {
    checks: bool,
    error: PhantomData<fn() -> E>,
}

impl<E> Api<E> {
    pub(crate) fn new(checks: bool) -> Self {
        let error = PhantomData;
        Self { checks, error }
    }
}

impl<E> Clone for Api<E> {
    fn clone(&self) -> Self {
        Self::new(self.checks)
    }
}

impl<E> Service<Request<()>> for Api<E> {
    type Response = Response<Empty<Bytes>>;
    type Error = E;
    type Future = Ready<Result<Self::Response, E>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    #[inline(never)]
    fn call(&mut self, request: Request<()>) -> Self::Future {
        black_box(&request);
        let token = request.headers().get(AUTHORIZATION);
        let mut response = Response::new(Empty::new());
        if self.checks && !token.is_some_and(|token| is_alive(token.as_bytes())) {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        ready(Ok(response))
    }
}
