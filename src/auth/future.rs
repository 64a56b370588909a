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

    pub(crate) fn pass(response: S::Future) -> Self {
        Self::slow(SlowState::Pass { response })
    }

    pub(crate) fn pass_queued(queued: Queued<S>, request: Req) -> Self {
        Self::slow(SlowState::PassQueued {
            queued,
            request: Some(request),
        })
    }

    pub(crate) fn fail(error: TokenError) -> Self {
        Self::slow(SlowState::Fail { error: Some(error) })
    }

    pub(crate) fn await_token(token: WaitForToken, unsent: Unsent<S, P, Req>) -> Self {
        Self::slow(SlowState::await_token(token, unsent))
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
                        let Sent {
                            response,
                            attempt,
                            replay,
                        } = sent;
                        state.set(State::Sent {
                            response,
                            attempt,
                            replay,
                        });
                        continue;
                    }
                },
            };
            let response = match ready!(response.poll(cx)) {
                Ok(response) if attempt.is_final(&response) => return Poll::Ready(Ok(response)),
                Ok(response) => response,
                Err(error) => return Poll::Ready(Err(Error::Inner(error))),
            };
            match attempt.on_response(response, replay.is_some()) {
                Action::Return(response) => return Poll::Ready(Ok(response)),
                Action::ReturnRenewed(rejection, shared) => {
                    let token = WaitForToken::new(shared, attempt.needs());
                    state.set(State::Slow {
                        slow: SlowState::AwaitRenewal {
                            token,
                            rejection: Some(rejection),
                        },
                    });
                }
                Action::Replay(rejection) => {
                    let (attempt, replay) = (*attempt, replay.take());
                    state.set(State::Slow {
                        slow: SlowState::renew(attempt, replay, rejection),
                    });
                }
            }
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
