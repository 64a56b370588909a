//! The service: the way out.

use std::fmt;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::future::ResponseFuture;
use crate::auth::message::{RequestMessage, ResponseMessage, Route, route};
use crate::auth::outcome::Sent;
use crate::auth::replay::{CloneBody, ReplayPolicy};
use crate::cache::TokenCache;
use crate::origins::Origins;

/// A service whose requests carry a token; made by
/// [`BearerAuthLayer`](crate::BearerAuthLayer).
///
/// Ready when the inner service is. A call while there is a token reaches the
/// inner service at once; otherwise the future waits for the token first.
#[derive(Clone)]
pub struct BearerAuth<S, P = CloneBody> {
    pub(crate) inner: S,
    pub(crate) tokens: TokenCache,
    pub(crate) origins: Origins,
    pub(crate) policy: P,
}

impl<S, P> BearerAuth<S, P> {
    /// The inner service.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The inner service, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, Req> Service<Req> for BearerAuth<S, P>
where
    S: Service<Req> + Clone,
    S::Response: ResponseMessage,
    P: ReplayPolicy<Req> + Clone,
    Req: RequestMessage,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, P, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        match route(&request, &self.origins) {
            Route::Attach => {}
            Route::Pass => return ResponseFuture::pass(self.inner.call(request)),
            Route::Fail(error) => return ResponseFuture::fail(error),
        }
        let shared = &self.tokens.shared;
        let Some(live) = shared.glance() else {
            // The service that was ready is the one to be called.
            let next = self.inner.clone();
            let ready = std::mem::replace(&mut self.inner, next);
            return ResponseFuture::acquire(shared, self.policy.clone(), request, ready);
        };
        let copy = self.policy.copy(&request);
        let replay = copy.map(|copy| (copy, self.inner.clone()));
        request
            .headers_mut()
            .insert(AUTHORIZATION, live.token.header().clone());
        let sent = Sent::new(shared.clone(), &live, false);
        ResponseFuture::sent(self.inner.call(request), sent, replay)
    }
}

impl<S: fmt::Debug, P> fmt::Debug for BearerAuth<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth")
            .field("inner", &self.inner)
            .field("tokens", &self.tokens)
            .field("origins", &self.origins)
            .finish()
    }
}
