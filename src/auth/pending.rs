//! Requests that are not sent yet, and what is kept of a sent one.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::message::{HttpRequest, HttpResponse, authorize};
use crate::auth::readiness::{Queued, Standby};
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::{Attempt, renewal_failed};
use crate::cache::{CachedToken, InUse, Shared};
use crate::error::TokenError;
use crate::origins::OriginId;

/// What a replay needs after the token was rejected.
pub(crate) struct Replay<S, C> {
    /// What the replay policy kept of the request.
    pub(crate) copy: C,
    pub(crate) standby: Standby<S>,
    pub(crate) shared: Arc<Shared>,
}

/// A request that was sent.
pub(crate) struct Sent<S, C, F> {
    pub(crate) response: F,
    pub(crate) attempt: Attempt,
    pub(crate) replay: Option<Replay<S, C>>,
    pub(crate) in_use: Option<InUse>,
}

/// Result of trying to send a request for which there is a token.
pub(super) enum TrySend<S: Service<Req>, C, Req> {
    Sent(Sent<S, C, S::Future>),
    /// The service is not ready.
    Pending(Arc<CachedToken>),
    Failed(S::Error),
}

/// A request that is not sent yet.
pub(crate) struct Unsent<S, P, Req> {
    pub(super) queued: Queued<S>,
    /// `None` for a replay, which is not replayed again.
    pub(super) policy: Option<P>,
    pub(super) origin: OriginId,
    pub(super) request: Req,
}

impl<S, P, Req> Unsent<S, P, Req> {
    pub(crate) fn new(queued: Queued<S>, policy: P, origin: OriginId, request: Req) -> Self {
        Self {
            queued,
            policy: Some(policy),
            origin,
            request,
        }
    }
}

/// A request that is not sent yet, with the response that rejected its token: the
/// caller gets that if the request is never sent.
pub(crate) struct Pending<S, P, Req, Res> {
    pub(super) unsent: Unsent<S, P, Req>,
    /// Boxed, because most callers that wait have none.
    pub(super) rejection: Option<Box<Res>>,
}

impl<S, P, Req, Res: HttpResponse> Pending<S, P, Req, Res> {
    /// Ends a request that is not sent.
    pub(super) fn fail<E>(self, error: TokenError) -> Result<Res, Error<E>> {
        match self.rejection {
            Some(rejection) => Ok(renewal_failed(*rejection, error)),
            None => Err(Error::Token(error)),
        }
    }
}

impl<S, P, Req> Unsent<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    /// Sends a request at once if the service is ready.
    pub(super) fn try_send(
        unsent: &mut Option<Self>,
        live: &Arc<CachedToken>,
        shared: &Arc<Shared>,
        cx: &mut Context<'_>,
    ) -> TrySend<S, P::Copy, Req> {
        let Some(waiting) = unsent else {
            return TrySend::Pending(live.clone());
        };
        match waiting.queued.poll_ready(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return TrySend::Failed(error),
            Poll::Pending => return TrySend::Pending(live.clone()),
        }
        // Prepared in place, because moving a request that was just written costs
        // more.
        let copy = waiting.prepare(live);
        match unsent.take() {
            Some(unsent) => TrySend::Sent(unsent.send_prepared(live, copy, None, shared)),
            None => TrySend::Pending(live.clone()),
        }
    }

    /// Sends the request. A request without a policy is itself a replay.
    pub(super) fn send(
        mut self,
        live: &CachedToken,
        in_use: Option<InUse>,
        shared: &Arc<Shared>,
    ) -> Sent<S, P::Copy, S::Future> {
        let copy = self.prepare(live);
        self.send_prepared(live, copy, in_use, shared)
    }

    /// Attaches the token; returns what a replay needs.
    fn prepare(&mut self, live: &CachedToken) -> Option<P::Copy> {
        let Self {
            policy, request, ..
        } = self;
        let copy = policy.as_ref().and_then(|policy| policy.copy(request));
        authorize(request, live.header());
        copy
    }

    #[inline]
    fn send_prepared(
        self,
        live: &CachedToken,
        copy: Option<P::Copy>,
        in_use: Option<InUse>,
        shared: &Arc<Shared>,
    ) -> Sent<S, P::Copy, S::Future> {
        let Self {
            mut queued,
            policy,
            origin,
            request,
        } = self;
        let attempt = Attempt::new(live, origin, policy.is_none());
        let replay = copy.map(|copy| Replay {
            copy,
            standby: queued.next(),
            shared: shared.clone(),
        });
        Sent {
            response: queued.service().call(request),
            attempt,
            replay,
            in_use,
        }
    }
}
