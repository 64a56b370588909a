//! The service: the way out.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::future::{Held, Replay, ResponseFuture};
use crate::auth::message::{RequestMessage, ResponseMessage, attach, destination_error};
use crate::auth::outcome::Sent;
use crate::auth::replay::{CloneBody, ReplayPolicy};
use crate::cache::{Acquire, Reader, Step, TokenCache, Want};
use crate::origins::Origins;

/// A service whose requests carry a token; made by
/// [`BearerAuthLayer`](crate::BearerAuthLayer).
///
/// Ready when the inner service is. A call while there is a token reaches the
/// inner service at once; otherwise the future waits for the token first.
///
/// Cheap to clone. One that is called many times is cheaper still.
pub struct BearerAuth<S, P = CloneBody> {
    inner: S,
    config: Arc<Config<P>>,
    reader: Reader,
}

/// What all clones of a service share. On cache lines of its own: the count of
/// the clones stands before it and is written by every thread that clones.
#[repr(align(128))]
pub(crate) struct Config<P> {
    pub(crate) tokens: TokenCache,
    pub(crate) origins: Origins,
    pub(crate) policy: P,
}

impl<S, P> BearerAuth<S, P> {
    pub(crate) fn new(inner: S, config: Config<P>) -> Self {
        Self {
            inner,
            config: Arc::new(config),
            reader: Reader::default(),
        }
    }

    /// The inner service.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The inner service, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, P> Clone for BearerAuth<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: self.config.clone(),
            reader: self.reader.clone(),
        }
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

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let config = &*self.config;
        if !request.is_for(&config.origins) {
            return self.call_without(request);
        }
        let shared = &*config.tokens.shared;
        let attached = self.reader.glance(&shared.current, |header, generation| {
            let copy = config.policy.copy(&request);
            let attached = attach(request.headers_mut(), header);
            attached.then_some((copy, generation))
        });
        let (copy, generation) = match attached {
            Some(Some(attached)) => attached,
            Some(None) => return self.call_without(request),
            None => return self.call_after_a_look(request),
        };
        let sent = Sent::at_a_glance(shared, generation);
        match copy {
            None => ResponseFuture::sent(self.inner.call(request), sent, None),
            Some(request_again) => {
                let replay = Replay {
                    request: request_again,
                    service: self.inner.clone(),
                    shared: config.tokens.shared.clone(),
                };
                ResponseFuture::sent(self.inner.call(request), sent, Some(replay))
            }
        }
    }
}

impl<S, P> BearerAuth<S, P> {
    /// For a request that gets no token: it is for none of the origins, or the
    /// caller set an `Authorization`.
    #[inline(never)]
    fn call_without<Req>(&mut self, request: Req) -> ResponseFuture<S, P, Req>
    where
        S: Service<Req>,
        Req: RequestMessage,
    {
        match destination_error(&request) {
            None => ResponseFuture::pass(self.inner.call(request)),
            Some(error) => ResponseFuture::fail(error),
        }
    }

    /// When a glance does not suffice.
    #[inline(never)]
    fn call_after_a_look<Req>(&mut self, mut request: Req) -> ResponseFuture<S, P, Req>
    where
        S: Service<Req> + Clone,
        P: ReplayPolicy<Req> + Clone,
        Req: RequestMessage,
    {
        let Config { tokens, policy, .. } = &*self.config;
        if request.headers().contains_key(AUTHORIZATION) {
            return ResponseFuture::pass(self.inner.call(request));
        }
        let want = Want::default();
        match tokens.shared.look(want) {
            Step::Fail(error) => ResponseFuture::fail(error),
            Step::Serve(live) => {
                let replay = policy.copy(&request).map(|copy| Replay {
                    request: copy,
                    service: self.inner.clone(),
                    shared: tokens.shared.clone(),
                });
                request
                    .headers_mut()
                    .insert(AUTHORIZATION, live.header().clone());
                let sent = Sent::new(&tokens.shared, &live, false);
                ResponseFuture::sent(self.inner.call(request), sent, replay)
            }
            Step::Wait(waiter) => {
                // The service that was ready is the one to be called.
                let next = self.inner.clone();
                let held = Held {
                    policy: policy.clone(),
                    request,
                    service: std::mem::replace(&mut self.inner, next),
                };
                let token = Acquire::joined(tokens.shared.clone(), want, Some(waiter));
                ResponseFuture::first(token, held)
            }
        }
    }
}

impl<S: fmt::Debug, P> fmt::Debug for BearerAuth<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth")
            .field("inner", &self.inner)
            .field("tokens", &self.config.tokens)
            .field("origins", &self.config.origins)
            .finish()
    }
}
