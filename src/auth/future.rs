//! The response future: a state machine in one loop.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::AUTHORIZATION;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::message::{HttpRequest, HttpResponse};
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::{Action, Attempt};
use crate::cache::{CachedToken, Next, Requirements, Shared, WaitForToken};
use crate::error::TokenError;

pin_project! {
    /// The future of [`BearerAuth`](crate::BearerAuth). Dropping it leaves
    /// nothing behind; a token fetch that it waited for goes on for others.
    pub struct ResponseFuture<S, P, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, P, Req, S::Future>,
    }
}

pin_project! {
    /// The hot state apart from the others, so that it costs one branch.
    #[project = StateProj]
    enum State<S, P, Req, F> {
        Attempt { #[pin] response: F, sent: Attempt, replay: Option<Replay<S, Req>> },
        Slow { #[pin] slow: SlowState<S, P, Req, F> },
    }
}

pin_project! {
    #[project = SlowStateProj]
    enum SlowState<S, P, Req, F> {
        /// No token may go there, or the caller brought one.
        Pass { #[pin] response: F },
        Fail { error: Option<TokenError> },
        /// Waiting for a token, with a request that is not sent yet and a
        /// service that is ready for it.
        AwaitToken { #[pin] token: WaitForToken, held: Option<Queued<S, P, Req>> },
        /// Waiting for a newer token, to send the copy.
        Renew { #[pin] token: WaitForToken, replay: Option<Replay<S, Req>> },
        /// There is a newer token; waiting for the service to be ready again.
        Ready { needs: Requirements, replay: Option<Replay<S, Req>> },
        Done,
    }
}

/// What waits for its first token.
pub(crate) struct Queued<S, P, Req> {
    pub(crate) policy: P,
    pub(crate) request: Req,
    pub(crate) service: S,
}

/// What a 401 calls for.
pub(crate) struct Replay<S, Req> {
    pub(crate) request: Req,
    pub(crate) service: S,
    pub(crate) shared: Arc<Shared>,
}

impl<S, P, Req> ResponseFuture<S, P, Req>
where
    S: Service<Req>,
{
    fn new(state: State<S, P, Req, S::Future>) -> Self {
        Self { state }
    }

    fn off(slow: SlowState<S, P, Req, S::Future>) -> Self {
        Self::new(State::Slow { slow })
    }

    pub(crate) fn pass(response: S::Future) -> Self {
        Self::off(SlowState::Pass { response })
    }

    pub(crate) fn fail(error: TokenError) -> Self {
        Self::off(SlowState::Fail { error: Some(error) })
    }

    pub(crate) fn first(token: WaitForToken, held: Queued<S, P, Req>) -> Self {
        Self::off(SlowState::AwaitToken {
            token,
            held: Some(held),
        })
    }

    #[inline]
    pub(crate) fn sent(response: S::Future, sent: Attempt, replay: Option<Replay<S, Req>>) -> Self {
        Self::new(State::Attempt {
            response,
            sent,
            replay,
        })
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
            let (response, sent, replay) = match state.as_mut().project() {
                StateProj::Attempt {
                    response,
                    sent,
                    replay,
                } => (response, sent, replay),
                StateProj::Slow { slow } => match ready!(slow.step(cx)) {
                    Transition::End(result) => return Poll::Ready(result),
                    Transition::Attempt(next) => {
                        state.set(next);
                        continue;
                    }
                },
            };
            let response = match ready!(response.poll(cx)) {
                Ok(response) if sent.is_final(&response) => return Poll::Ready(Ok(response)),
                Ok(response) => response,
                Err(error) => return Poll::Ready(Err(Error::Inner(error))),
            };
            match sent.on_response(response, replay.is_some()) {
                Action::Return(response) => return Poll::Ready(Ok(response)),
                Action::Replay => {
                    let (sent, replay) = (*sent, replay.take());
                    state.set(State::Slow {
                        slow: SlowState::renew(sent, replay),
                    });
                }
            }
        }
    }
}

/// Where the states off the hot path lead to.
#[allow(
    clippy::large_enum_variant,
    reason = "moved once, where a caller has waited"
)]
enum Transition<S: Service<Req>, P, Req> {
    Attempt(State<S, P, Req, S::Future>),
    End(Result<S::Response, Error<S::Error>>),
}

impl<S, P, Req> SlowState<S, P, Req, S::Future>
where
    S: Service<Req> + Clone,
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    fn renew(sent: Attempt, replay: Option<Replay<S, Req>>) -> Self {
        let Some(replay) = replay else {
            return Self::Done;
        };
        let needs = Requirements {
            newer_than: sent.generation(),
            ..Requirements::default()
        };
        Self::Renew {
            token: WaitForToken::new(replay.shared.clone(), needs),
            replay: Some(replay),
        }
    }

    #[inline(never)]
    fn step(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Transition<S, P, Req>> {
        let failed = |error: TokenError| Poll::Ready(Transition::End(Err(error.into())));
        loop {
            let next = match self.as_mut().project() {
                SlowStateProj::Pass { response } => {
                    return response
                        .poll(cx)
                        .map(|result| Transition::End(result.map_err(Error::Inner)));
                }
                SlowStateProj::Fail { error } => match error.take() {
                    Some(error) => return failed(error),
                    None => Self::Done,
                },
                SlowStateProj::AwaitToken { mut token, held } => {
                    let live = match ready!(token.as_mut().poll(cx)) {
                        Ok(live) => live,
                        Err(error) => return failed(error),
                    };
                    let shared = token.as_ref().shared().clone();
                    match held.take() {
                        Some(held) => {
                            return Poll::Ready(Transition::Attempt(held.send(&live, shared)));
                        }
                        None => Self::Done,
                    }
                }
                SlowStateProj::Renew { mut token, replay } => {
                    if let Err(error) = ready!(token.as_mut().poll(cx)) {
                        return failed(error);
                    }
                    Self::Ready {
                        needs: token.as_ref().needs(),
                        replay: replay.take(),
                    }
                }
                SlowStateProj::Ready { needs, replay } => {
                    if let Some(waiting) = replay
                        && let Err(error) = ready!(waiting.service.poll_ready(cx))
                    {
                        return Poll::Ready(Transition::End(Err(Error::Inner(error))));
                    }
                    match replay.take() {
                        Some(replay) => match replay.shared.lookup(*needs) {
                            Next::Serve(live) => {
                                return Poll::Ready(Transition::Attempt(replay.send(&live)));
                            }
                            Next::Fail(error) => return failed(error),
                            // It was a long wait, and the token is gone.
                            Next::Wait(waiter) => Self::Renew {
                                token: WaitForToken::joined(
                                    replay.shared.clone(),
                                    *needs,
                                    Some(waiter),
                                ),
                                replay: Some(replay),
                            },
                        },
                        None => Self::Done,
                    }
                }
                SlowStateProj::Done => panic!("`ResponseFuture` polled after it was ready"),
            };
            self.set(next);
        }
    }
}

impl<S, P, Req> Queued<S, P, Req>
where
    S: Service<Req>,
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    fn send(self, live: &CachedToken, shared: Arc<Shared>) -> State<S, P, Req, S::Future> {
        let Self {
            policy,
            mut request,
            mut service,
        } = self;
        let copy = policy.copy(&request);
        request
            .headers_mut()
            .insert(AUTHORIZATION, live.header().clone());
        State::Attempt {
            response: service.call(request),
            sent: Attempt::new(&shared, live, false),
            replay: copy.map(|request| Replay {
                request,
                service,
                shared,
            }),
        }
    }
}

impl<S, Req> Replay<S, Req>
where
    S: Service<Req>,
    Req: HttpRequest,
{
    fn send<P>(self, live: &CachedToken) -> State<S, P, Req, S::Future> {
        let Self {
            mut request,
            mut service,
            shared,
        } = self;
        request
            .headers_mut()
            .insert(AUTHORIZATION, live.header().clone());
        State::Attempt {
            response: service.call(request),
            sent: Attempt::new(&shared, live, true),
            replay: None,
        }
    }
}

impl<S, P, Req> fmt::Debug for ResponseFuture<S, P, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
