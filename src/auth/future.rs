//! The response future: a state machine in one loop.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::message::{HttpRequest, HttpResponse};
use crate::auth::pending::{Replay, Sent, Unsent};
use crate::auth::readiness::Queued;
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::{Action, Attempt};
use crate::auth::slow::{SlowState, SlowStateOf, Transition};
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
    /// The hot states apart from the others, which are boxed: so they cost one
    /// branch, and the future is small.
    #[project = StateProj]
    enum State<S, P, Req, F, Res, D> {
        Sent { #[pin] response: F, attempt: Attempt, replay: Option<Replay<S, Req>> },
        Slow { slow: Pin<Box<SlowState<S, P, Req, F, Res, D>>> },
    }
}

impl<S, P, Req> ResponseFuture<S, P, Req>
where
    S: Service<Req>,
    S::Response: HttpResponse,
{
    fn slow(slow: SlowStateOf<S, P, Req>) -> Self {
        Self {
            state: State::Slow {
                slow: Box::pin(slow),
            },
        }
    }

    /// `unlisted`: it got no token because its origin is not listed.
    pub(crate) fn pass(response: S::Future, unlisted: bool) -> Self {
        Self::sent(response, Attempt::without_token(unlisted), None)
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
        if let StateProj::Sent { response, .. } = state.as_mut().project() {
            return match response.poll(cx) {
                Poll::Ready(Ok(response)) if Attempt::is_final(&response) => {
                    Poll::Ready(Ok(response))
                }
                Poll::Ready(answer) => state.poll_answered(answer, cx),
                Poll::Pending => Poll::Pending,
            };
        }
        state.poll_slow(cx)
    }
}

impl<S, P, Req> StateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    /// Goes on from what the inner service answered.
    #[inline(never)]
    fn poll_answered(
        mut self: Pin<&mut Self>,
        answer: Result<S::Response, S::Error>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, Error<S::Error>>> {
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Err(Error::Inner(error))),
        };
        let StateProj::Sent {
            attempt, replay, ..
        } = self.as_mut().project()
        else {
            return Poll::Ready(Ok(response));
        };
        let (attempt, replay) = (*attempt, replay.take());
        match self.as_mut().on_response(response, attempt, replay) {
            Some(response) => Poll::Ready(Ok(response)),
            None => self.poll_slow(cx),
        }
    }

    /// Polls whatever the state is.
    #[inline(never)]
    fn poll_slow(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, Error<S::Error>>> {
        loop {
            match self.as_mut().project() {
                StateProj::Sent {
                    response,
                    attempt,
                    replay,
                } => {
                    let response = ready!(response.poll(cx)).map_err(Error::Inner)?;
                    let (attempt, replay) = (*attempt, replay.take());
                    if Attempt::is_final(&response) {
                        return Poll::Ready(Ok(response));
                    }
                    if let Some(response) = self.as_mut().on_response(response, attempt, replay) {
                        return Poll::Ready(Ok(response));
                    }
                }
                StateProj::Slow { slow } => match ready!(slow.as_mut().step(cx)) {
                    Transition::End(result) => return Poll::Ready(result),
                    Transition::Sent(sent) => self.set(State::from(sent)),
                    Transition::Responded(response, attempt, replay) => {
                        if let Some(response) = self.as_mut().on_response(response, attempt, replay)
                        {
                            return Poll::Ready(Ok(response));
                        }
                    }
                },
            }
        }
    }

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
        self.set(State::Slow {
            slow: Box::pin(slow),
        });
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
        if in_use.is_none() && !attempt.is_listening() {
            return Self::Sent {
                response,
                attempt,
                replay,
            };
        }
        Self::Slow {
            slow: Box::pin(SlowState::Watched {
                response,
                attempt,
                replay,
                in_use,
            }),
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
