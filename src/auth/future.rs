//! The response future: a state machine in one loop.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::message::{HttpRequest, HttpResponse};
use crate::auth::readiness::Queued;
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::{Action, Attempt};
use crate::auth::slow::{Replay, Sent, SlowState, SlowStateOf, Transition, Unsent};
use crate::cache::WaitForToken;
use crate::error::TokenError;

pin_project! {
    /// The future of [`BearerAuth`](crate::BearerAuth). Dropping it leaves
    /// nothing behind; a token fetch that it waited for goes on for others.
    pub struct ResponseFuture<S, P, Req>
    where
        S: Service<Req>,
        S::Response: HttpResponse,
    {
        #[pin]
        state: State<S, P, Req, S::Future, S::Response, <S::Response as HttpResponse>::Drain>,
    }
}

type StateOf<S, P, Req> = State<
    S,
    P,
    Req,
    <S as Service<Req>>::Future,
    <S as Service<Req>>::Response,
    <<S as Service<Req>>::Response as HttpResponse>::Drain,
>;

pin_project! {
    /// The hot state apart from the others, so that it costs one branch.
    #[project = StateProj]
    enum State<S, P, Req, F, Res, D> {
        Sent { #[pin] response: F, attempt: Attempt, replay: Option<Replay<S, Req>> },
        Slow { #[pin] slow: SlowState<S, P, Req, F, Res, D> },
    }
}

impl<S, P, Req> ResponseFuture<S, P, Req>
where
    S: Service<Req>,
    S::Response: HttpResponse,
{
    fn slow(slow: SlowStateOf<S, P, Req>) -> Self {
        Self {
            state: State::Slow { slow },
        }
    }

    /// `unlisted`: it got no token because its origin is not listed.
    pub(crate) fn pass(response: S::Future, unlisted: bool) -> Self {
        Self::slow(SlowState::Pass { response, unlisted })
    }

    pub(crate) fn pass_queued(queued: Queued<S>, request: Req, unlisted: bool) -> Self {
        Self::slow(SlowState::PassQueued {
            queued,
            request: Some(request),
            unlisted,
        })
    }

    pub(crate) fn fail(error: TokenError) -> Self {
        Self::slow(SlowState::Fail { error: Some(error) })
    }

    pub(crate) fn await_token(token: WaitForToken, unsent: Unsent<S, P, Req>) -> Self {
        Self::slow(SlowState::await_token(token, unsent))
    }

    pub(crate) fn counted(sent: Sent<S, Req, S::Future>) -> Self {
        Self {
            state: State::from(sent),
        }
    }

    #[inline]
    pub(crate) fn sent(
        response: S::Future,
        attempt: Attempt,
        replay: Option<Replay<S, Req>>,
    ) -> Self {
        Self {
            state: State::Sent {
                response,
                attempt,
                replay,
            },
        }
    }
}

impl<S, P, Req> Future for ResponseFuture<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    type Output = Result<S::Response, Error<S::Error>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let (response, attempt, replay) = match state.as_mut().project() {
                StateProj::Sent {
                    response,
                    attempt,
                    replay,
                } => (response, attempt, replay),
                StateProj::Slow { slow } => match ready!(slow.step(cx)) {
                    Transition::End(result) => return Poll::Ready(result),
                    Transition::Sent(sent) => {
                        state.set(State::from(sent));
                        continue;
                    }
                    Transition::Responded(response, attempt, replay) => {
                        match state.as_mut().on_response(response, attempt, replay) {
                            Some(response) => return Poll::Ready(Ok(response)),
                            None => continue,
                        }
                    }
                },
            };
            let response = match ready!(response.poll(cx)) {
                Ok(response) if attempt.is_final(&response) => return Poll::Ready(Ok(response)),
                Ok(response) => response,
                Err(error) => return Poll::Ready(Err(Error::Inner(error))),
            };
            let (attempt, replay) = (*attempt, replay.take());
            if let Some(response) = state.as_mut().on_response(response, attempt, replay) {
                return Poll::Ready(Ok(response));
            }
        }
    }
}

impl<S, P, Req> StateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    /// Goes on from a response; returns it if it is the end.
    #[inline(never)]
    fn on_response(
        mut self: Pin<&mut Self>,
        response: S::Response,
        attempt: Attempt,
        replay: Option<Replay<S, Req>>,
    ) -> Option<S::Response> {
        let slow = match attempt.on_response(response, replay.is_some()) {
            Action::Return(response) => return Some(response),
            Action::ReturnRenewed(rejection, shared) => SlowState::AwaitRenewal {
                token: WaitForToken::new(shared, attempt.needs()),
                rejection: Some(rejection),
            },
            Action::Replay(rejection) => SlowState::renew(attempt, replay, rejection),
        };
        self.set(State::Slow { slow });
        None
    }
}

impl<S, P, Req, Res, D, F> From<Sent<S, Req, F>> for State<S, P, Req, F, Res, D> {
    fn from(sent: Sent<S, Req, F>) -> Self {
        let Sent {
            response,
            attempt,
            replay,
            in_use,
        } = sent;
        match in_use {
            None => Self::Sent {
                response,
                attempt,
                replay,
            },
            Some(in_use) => Self::Slow {
                slow: SlowState::Counted {
                    response,
                    attempt,
                    replay,
                    in_use: Some(in_use),
                },
            },
        }
    }
}

impl<S, P, Req> fmt::Debug for ResponseFuture<S, P, Req>
where
    S: Service<Req>,
    S::Response: HttpResponse,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
