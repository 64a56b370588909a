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
use crate::auth::message::{RequestMessage, ResponseMessage};
use crate::auth::outcome::{Next, Sent};
use crate::auth::replay::ReplayPolicy;
use crate::cache::{Acquire, Live, Shared, Step, Want};
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
        Sent { #[pin] response: F, sent: Sent, replay: Option<Replay<S, Req>> },
        Off { #[pin] detour: Detour<S, P, Req, F> },
    }
}

pin_project! {
    #[project = DetourProj]
    enum Detour<S, P, Req, F> {
        /// No token may go there, or the caller brought one.
        Pass { #[pin] response: F },
        Fail { error: Option<TokenError> },
        /// Waiting for a token, with a request that is not sent yet and a
        /// service that is ready for it.
        First { #[pin] token: Acquire, held: Option<Held<S, P, Req>> },
        /// Waiting for a newer token, to send the copy.
        Renew { #[pin] token: Acquire, replay: Option<Replay<S, Req>> },
        /// There is a newer token; waiting for the service to be ready again.
        Ready { want: Want, replay: Option<Replay<S, Req>> },
        Done,
    }
}

/// What waits for its first token.
pub(crate) struct Held<S, P, Req> {
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

    fn off(detour: Detour<S, P, Req, S::Future>) -> Self {
        Self::new(State::Off { detour })
    }

    pub(crate) fn pass(response: S::Future) -> Self {
        Self::off(Detour::Pass { response })
    }

    pub(crate) fn fail(error: TokenError) -> Self {
        Self::off(Detour::Fail { error: Some(error) })
    }

    pub(crate) fn first(token: Acquire, held: Held<S, P, Req>) -> Self {
        Self::off(Detour::First {
            token,
            held: Some(held),
        })
    }

    #[inline]
    pub(crate) fn sent(response: S::Future, sent: Sent, replay: Option<Replay<S, Req>>) -> Self {
        Self::new(State::Sent {
            response,
            sent,
            replay,
        })
    }
}

impl<S, P, Req> Future for ResponseFuture<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: ResponseMessage,
    P: ReplayPolicy<Req>,
    Req: RequestMessage,
{
    type Output = Result<S::Response, Error<S::Error>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let (response, sent, replay) = match state.as_mut().project() {
                StateProj::Sent {
                    response,
                    sent,
                    replay,
                } => (response, sent, replay),
                StateProj::Off { detour } => match ready!(detour.step(cx)) {
                    Turn::End(result) => return Poll::Ready(result),
                    Turn::Sent(next) => {
                        state.set(next);
                        continue;
                    }
                },
            };
            let response = match ready!(response.poll(cx)) {
                Ok(response) if sent.is_plain(&response) => return Poll::Ready(Ok(response)),
                Ok(response) => response,
                Err(error) => return Poll::Ready(Err(Error::Inner(error))),
            };
            match sent.judge(response, replay.is_some()) {
                Next::Return(response) => return Poll::Ready(Ok(response)),
                Next::Replay => {
                    let (sent, replay) = (*sent, replay.take());
                    state.set(State::Off {
                        detour: Detour::renew(sent, replay),
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
enum Turn<S: Service<Req>, P, Req> {
    Sent(State<S, P, Req, S::Future>),
    End(Result<S::Response, Error<S::Error>>),
}

impl<S, P, Req> Detour<S, P, Req, S::Future>
where
    S: Service<Req> + Clone,
    P: ReplayPolicy<Req>,
    Req: RequestMessage,
{
    fn renew(sent: Sent, replay: Option<Replay<S, Req>>) -> Self {
        let Some(replay) = replay else {
            return Self::Done;
        };
        let want = Want {
            newer_than: sent.generation(),
            ..Want::default()
        };
        Self::Renew {
            token: Acquire::new(replay.shared.clone(), want),
            replay: Some(replay),
        }
    }

    #[inline(never)]
    fn step(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn<S, P, Req>> {
        let failed = |error: TokenError| Poll::Ready(Turn::End(Err(error.into())));
        loop {
            let next = match self.as_mut().project() {
                DetourProj::Pass { response } => {
                    return response
                        .poll(cx)
                        .map(|result| Turn::End(result.map_err(Error::Inner)));
                }
                DetourProj::Fail { error } => match error.take() {
                    Some(error) => return failed(error),
                    None => Self::Done,
                },
                DetourProj::First { mut token, held } => {
                    let live = match ready!(token.as_mut().poll(cx)) {
                        Ok(live) => live,
                        Err(error) => return failed(error),
                    };
                    let shared = token.as_ref().shared().clone();
                    match held.take() {
                        Some(held) => return Poll::Ready(Turn::Sent(held.send(&live, shared))),
                        None => Self::Done,
                    }
                }
                DetourProj::Renew { mut token, replay } => {
                    if let Err(error) = ready!(token.as_mut().poll(cx)) {
                        return failed(error);
                    }
                    Self::Ready {
                        want: token.as_ref().want(),
                        replay: replay.take(),
                    }
                }
                DetourProj::Ready { want, replay } => {
                    if let Some(waiting) = replay
                        && let Err(error) = ready!(waiting.service.poll_ready(cx))
                    {
                        return Poll::Ready(Turn::End(Err(Error::Inner(error))));
                    }
                    match replay.take() {
                        Some(replay) => match replay.shared.look(*want) {
                            Step::Serve(live) => {
                                return Poll::Ready(Turn::Sent(replay.send(&live)));
                            }
                            Step::Fail(error) => return failed(error),
                            // It was a long wait, and the token is gone.
                            Step::Wait(waiter) => Self::Renew {
                                token: Acquire::joined(replay.shared.clone(), *want, Some(waiter)),
                                replay: Some(replay),
                            },
                        },
                        None => Self::Done,
                    }
                }
                DetourProj::Done => panic!("`ResponseFuture` polled after it was ready"),
            };
            self.set(next);
        }
    }
}

impl<S, P, Req> Held<S, P, Req>
where
    S: Service<Req>,
    P: ReplayPolicy<Req>,
    Req: RequestMessage,
{
    fn send(self, live: &Live, shared: Arc<Shared>) -> State<S, P, Req, S::Future> {
        let Self {
            policy,
            mut request,
            mut service,
        } = self;
        let copy = policy.copy(&request);
        request
            .headers_mut()
            .insert(AUTHORIZATION, live.header().clone());
        State::Sent {
            response: service.call(request),
            sent: Sent::new(&shared, live, false),
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
    Req: RequestMessage,
{
    fn send<P>(self, live: &Live) -> State<S, P, Req, S::Future> {
        let Self {
            mut request,
            mut service,
            shared,
        } = self;
        request
            .headers_mut()
            .insert(AUTHORIZATION, live.header().clone());
        State::Sent {
            response: service.call(request),
            sent: Sent::new(&shared, live, true),
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
