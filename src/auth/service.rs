//! The service: sends requests with a token.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::future::ResponseFuture;
use crate::auth::message::{HttpRequest, HttpResponse};
use crate::auth::pending::Replay;
use crate::auth::readiness::Inner;
use crate::auth::rejection::{Rejection, RejectionPolicy};
use crate::auth::replay::{CloneBody, ReplayPolicy};
use crate::auth::response::Attempt;
use crate::auth::send::{Fast, Policies, attach_fast, pass_through, send_after, send_slow};
use crate::cache::{TokenCache, TokenReader};
use crate::origins::Origins;

/// Service whose requests carry a token, made by
/// [`BearerAuthLayer`](crate::BearerAuthLayer).
///
/// Ready when the inner service is. While there is a token, a call reaches the inner
/// service at once; otherwise the future waits for the token first.
///
/// Cheap to clone; calling the same clone many times is cheaper still.
pub struct BearerAuth<S, P = CloneBody, R = Rejection> {
    inner: Inner<S>,
    config: Arc<Config<P, R>>,
    reader: TokenReader,
}

/// State that all clones of a service share. On separate cache lines, because the
/// count of the clones precedes it and is written by every thread that clones.
#[repr(align(128))]
pub(crate) struct Config<P, R> {
    pub(crate) tokens: TokenCache,
    pub(crate) origins: Origins,
    pub(crate) policies: Policies<P, R>,
}

impl<S, P, R> BearerAuth<S, P, R> {
    pub(crate) fn new(inner: S, config: Config<P, R>) -> Self {
        Self {
            inner: Inner::new(inner),
            config: Arc::new(config),
            reader: TokenReader::default(),
        }
    }

    /// Returns the inner service.
    pub fn inner(&self) -> &S {
        self.inner.get()
    }

    /// Returns the inner service, without the layer.
    pub fn into_inner(self) -> S {
        self.inner.into_inner()
    }
}

impl<S: Clone, P, R> Clone for BearerAuth<S, P, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: self.config.clone(),
            reader: self.reader.clone(),
        }
    }
}

impl<S, P, R, Req> Service<Req> for BearerAuth<S, P, R>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req> + Clone,
    R: RejectionPolicy<S::Response>,
    Req: HttpRequest,
{
    type Response = R::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, P, Req, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.inner.is_lending() {
            return self.poll_ready_lending(cx);
        }
        // Spelled out, so that a service that is always ready costs nothing.
        match self.inner.ready().poll_ready(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(Error::Inner(error))),
            Poll::Pending => Poll::Pending,
        }
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let config = &*self.config;
        let policies = &config.policies;
        let Some(origin) = request.origin(&config.origins) else {
            return pass_through(&mut self.inner, policies, request);
        };
        let shared = &config.tokens.shared;
        let reader = &mut self.reader;
        let Some(fast) = attach_fast(policies, shared, reader, &mut request) else {
            let inner = &mut self.inner;
            return send_slow(inner, policies, shared, reader, origin, request);
        };
        let inner = &mut self.inner;
        send_after!(fast, inner, policies, origin, request, Some(shared.clone()))
    }
}

impl<S, P, R> BearerAuth<S, P, R> {
    #[inline(never)]
    fn poll_ready_lending<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error<S::Error>>>
    where
        S: Service<Req> + Clone,
    {
        let polled = self.inner.poll_ready(cx);
        // So that the fast path need not check it.
        self.reader.suspend(self.inner.is_lent());
        polled.map_err(Error::Inner)
    }
}

impl<S: fmt::Debug, P, R> fmt::Debug for BearerAuth<S, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth")
            .field("inner", self.inner.get())
            .field("tokens", &self.config.tokens)
            .field("origins", &self.config.origins)
            .finish()
    }
}
