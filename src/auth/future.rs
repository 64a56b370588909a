//! The response future, as the service makes it and its caller polls it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::message::{HttpRequest, HttpResponse};
use crate::auth::pending::{Replay, Sent, Unsent};
use crate::auth::readiness::Queued;
use crate::auth::rejection::{Rejection, RejectionPolicy};
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::Attempt;
use crate::auth::slow::{SlowState, SlowStateOf};
use crate::auth::state::{State, StateProj};
use crate::cache::WaitForToken;
use crate::error::TokenError;

pin_project! {
    /// Response future of [`BearerAuth`](crate::BearerAuth). Dropping it leaves
    /// nothing behind; a token fetch that it waited for continues for other callers.
    pub struct ResponseFuture<S, P, Req, R = Rejection>
    where
        S: Service<Req>,
        S::Response: HttpResponse,
        P: ReplayPolicy<Req>,
    {
        #[pin]
        state: State<
            S,
            P,
            Req,
            S::Future,
            S::Response,
            <S::Response as HttpResponse>::Drain,
            P::Copy,
        >,
        rejection: R,
    }
}

impl<S, P, Req, R: Clone> ResponseFuture<S, P, Req, R>
where
    S: Service<Req>,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
{
    fn slow(slow: SlowStateOf<S, P, Req>, rejection: &R) -> Self {
        Self {
            state: State::Slow {
                slow: Box::pin(slow),
            },
            rejection: rejection.clone(),
        }
    }

    /// Creates the future of a request without a token; `unlisted` if that is because
    /// its origin is not listed.
    pub(crate) fn pass(response: S::Future, unlisted: bool, rejection: &R) -> Self {
        let attempt = Attempt::without_token(unlisted);
        Self::sent(response, attempt, None, rejection)
    }

    pub(crate) fn pass_queued(
        queued: Queued<S>,
        request: Req,
        unlisted: bool,
        rejection: &R,
    ) -> Self {
        let slow = SlowState::PassQueued {
            queued,
            request: Some(request),
            unlisted,
        };
        Self::slow(slow, rejection)
    }

    pub(crate) fn fail(error: TokenError, rejection: &R) -> Self {
        Self::slow(SlowState::Fail { error: Some(error) }, rejection)
    }

    pub(crate) fn await_token(
        token: WaitForToken,
        unsent: Unsent<S, P, Req>,
        rejection: &R,
    ) -> Self {
        Self {
            state: State::Waiting {
                token,
                unsent: Some(unsent),
            },
            rejection: rejection.clone(),
        }
    }

    pub(crate) fn counted(sent: Sent<S, P::Copy, S::Future>, rejection: &R) -> Self {
        Self {
            state: State::from(sent),
            rejection: rejection.clone(),
        }
    }

    #[inline]
    pub(crate) fn sent(
        response: S::Future,
        attempt: Attempt,
        replay: Option<Replay<S, P::Copy>>,
        rejection: &R,
    ) -> Self {
        Self {
            state: State::Sent {
                response,
                attempt,
                replay,
            },
            rejection: rejection.clone(),
        }
    }
}

impl<S, P, Req, R> Future for ResponseFuture<S, P, Req, R>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    R: RejectionPolicy<S::Response>,
    Req: HttpRequest,
{
    type Output = Result<R::Response, Error<S::Error>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut state, rejection) = (this.state, &*this.rejection);
        if let StateProj::Sent {
            response, attempt, ..
        } = state.as_mut().project()
        {
            return match response.poll(cx) {
                Poll::Ready(Ok(response)) if rejection.is_final(&response) => {
                    Poll::Ready(Ok(rejection.finish(response, attempt.sent_token())))
                }
                Poll::Ready(answer) => state.poll_answered(answer, rejection, cx),
                Poll::Pending => Poll::Pending,
            };
        }
        state.poll_slow(rejection, cx)
    }
}

impl<S, P, Req, R> fmt::Debug for ResponseFuture<S, P, Req, R>
where
    S: Service<Req>,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
