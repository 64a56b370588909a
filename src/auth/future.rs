//! The response future: a state machine in one loop.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::message::{HttpRequest, HttpResponse};
use crate::auth::pending::{Replay, Sent, TrySend, Unsent};
use crate::auth::readiness::Queued;
use crate::auth::rejection::{Rejection, RejectionPolicy};
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::{Action, Attempt};
use crate::auth::slow::{SlowState, SlowStateOf, Transition};
use crate::cache::{Token, WaitForToken};
use crate::error::TokenError;

pin_project! {
    /// The future of [`BearerAuth`](crate::BearerAuth). Dropping it leaves
    /// nothing behind; a token fetch that it waited for goes on for others.
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

type StateOf<S, P, Req> = State<
    S,
    P,
    Req,
    <S as Service<Req>>::Future,
    <S as Service<Req>>::Response,
    <<S as Service<Req>>::Response as HttpResponse>::Drain,
    <P as ReplayPolicy<Req>>::Copy,
>;

pin_project! {
    /// The hot states apart from the others, most of which are boxed: so they cost
    /// one branch, and the future is small. Crowds wait for the first token, whose
    /// request takes the room here that a copy of it has while it is sent.
    #[project = StateProj]
    enum State<S, P, Req, F, Res, D, C> {
        Sent { #[pin] response: F, attempt: Attempt, replay: Option<Replay<S, C>> },
        Waiting { token: WaitForToken, unsent: Option<Unsent<S, P, Req>> },
        Slow { slow: Pin<Box<SlowState<S, P, Req, F, Res, D, C>>> },
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

    /// `unlisted`: it got no token because its origin is not listed.
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

/// What the caller gets.
type PollResponse<S, Req, R> = Poll<
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
    /// Goes on from what the inner service answered.
    #[inline(never)]
    fn poll_answered<R: RejectionPolicy<S::Response>>(
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

    /// Polls whatever the state is.
    #[inline(never)]
    fn poll_slow<R: RejectionPolicy<S::Response>>(
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
                    // Without a token, or rejected already.
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

    /// Goes on from a response; returns it if it is the end.
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
