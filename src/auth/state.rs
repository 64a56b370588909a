//! The states of a response: a state machine in one loop.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::message::{HttpRequest, HttpResponse};
use crate::auth::pending::{Replay, Sent, TrySend, Unsent};
use crate::auth::rejection::RejectionPolicy;
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::{Action, Attempt};
use crate::auth::slow::{SlowState, Transition};
use crate::cache::{Token, WaitForToken};

pub(super) type StateOf<S, P, Req> = State<
    S,
    P,
    Req,
    <S as Service<Req>>::Future,
    <S as Service<Req>>::Response,
    <<S as Service<Req>>::Response as HttpResponse>::Drain,
    <P as ReplayPolicy<Req>>::Copy,
>;

pin_project! {
    /// The states of the fast path are separate from the others, most of which are
    /// boxed: so they cost one branch, and the future is small. Many requests may
    /// wait for the first token; each is kept where its copy is while it is sent.
    #[project = StateProj]
    pub(super) enum State<S, P, Req, F, Res, D, C> {
        Sent { #[pin] response: F, attempt: Attempt, replay: Option<Replay<S, C>> },
        Waiting { token: WaitForToken, unsent: Option<Unsent<S, P, Req>> },
        Slow { slow: Pin<Box<SlowState<S, P, Req, F, Res, D, C>>> },
    }
}

/// What the caller gets.
pub(super) type PollResponse<S, Req, R> = Poll<
    Result<
        <R as RejectionPolicy<<S as Service<Req>>::Response>>::Response,
        Error<<S as Service<Req>>::Error>,
    >,
>;

impl<S, P, Req> StateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    /// Continues with the inner service's response.
    #[inline(never)]
    pub(super) fn poll_answered<R: RejectionPolicy<S::Response>>(
        mut self: Pin<&mut Self>,
        answer: Result<S::Response, S::Error>,
        rejection: &R,
        cx: &mut Context<'_>,
    ) -> PollResponse<S, Req, R> {
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Err(Error::Inner(error))),
        };
        let StateProj::Sent {
            attempt, replay, ..
        } = self.as_mut().project()
        else {
            return Poll::Ready(Ok(rejection.finish(response, None)));
        };
        let (attempt, replay) = (*attempt, replay.take());
        match self
            .as_mut()
            .on_response(response, attempt, replay, rejection)
        {
            Some(response) => Poll::Ready(Ok(response)),
            None => self.poll_slow(rejection, cx),
        }
    }

    /// Polls in any state.
    #[inline(never)]
    pub(super) fn poll_slow<R: RejectionPolicy<S::Response>>(
        mut self: Pin<&mut Self>,
        rejection: &R,
        cx: &mut Context<'_>,
    ) -> PollResponse<S, Req, R> {
        loop {
            match self.as_mut().project() {
                StateProj::Sent {
                    response,
                    attempt,
                    replay,
                } => {
                    let response = ready!(response.poll(cx)).map_err(Error::Inner)?;
                    let (attempt, replay) = (*attempt, replay.take());
                    if rejection.is_final(&response) {
                        let response = rejection.finish(response, attempt.sent_token());
                        return Poll::Ready(Ok(response));
                    }
                    if let Some(response) = self
                        .as_mut()
                        .on_response(response, attempt, replay, rejection)
                    {
                        return Poll::Ready(Ok(response));
                    }
                }
                StateProj::Waiting { token, unsent } => {
                    let sent = token.poll_then(cx, |live, shared, cx| {
                        Unsent::try_send(unsent, live, shared, cx)
                    });
                    let sent = ready!(sent);
                    if sent.is_err() {
                        *unsent = None;
                    }
                    let live = match sent.map_err(Error::Token)? {
                        Token::Fetched(TrySend::Sent(sent)) => {
                            self.set(State::from(sent));
                            continue;
                        }
                        Token::Fetched(TrySend::Failed(error)) => {
                            return Poll::Ready(Err(Error::Inner(error)));
                        }
                        Token::Fetched(TrySend::Pending(live)) | Token::Found(live) => live,
                    };
                    let slow = SlowState::await_ready(token, live, unsent.take());
                    self.set(State::Slow {
                        slow: Box::pin(slow),
                    });
                }
                StateProj::Slow { slow } => match ready!(slow.as_mut().step(cx)) {
                    // Sent without a token, or already rejected.
                    Transition::End(result) => {
                        return Poll::Ready(result.map(|it| rejection.finish(it, None)));
                    }
                    Transition::Sent(sent) => self.set(State::from(sent)),
                    Transition::Responded(response, attempt, replay) => {
                        if let Some(response) = self
                            .as_mut()
                            .on_response(response, attempt, replay, rejection)
                        {
                            return Poll::Ready(Ok(response));
                        }
                    }
                },
            }
        }
    }

    /// Continues with a response; returns it if it is the final one.
    #[inline(never)]
    fn on_response<R: RejectionPolicy<S::Response>>(
        mut self: Pin<&mut Self>,
        response: S::Response,
        attempt: Attempt,
        replay: Option<Replay<S, P::Copy>>,
        rejection: &R,
    ) -> Option<R::Response> {
        let slow = match attempt.on_response(response, replay.is_some(), rejection) {
            Action::Return(response) => {
                return Some(rejection.finish(response, attempt.sent_token()));
            }
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

impl<S, P, Req, Res, D, F, C> From<Sent<S, C, F>> for State<S, P, Req, F, Res, D, C> {
    #[inline]
    fn from(sent: Sent<S, C, F>) -> Self {
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
