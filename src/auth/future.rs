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
    #[project = StateProj]
    enum State<S, P, Req, F> {
        /// No token may go there, or the caller brought one.
        Pass { #[pin] response: F },
        Fail { error: Option<TokenError> },
        /// Waiting for a token, with a request that is not sent yet and a
        /// service that is ready for it.
        First { #[pin] token: Acquire, held: Option<Held<S, P, Req>> },
        Sent { #[pin] response: F, sent: Option<Sent>, replay: Option<(Req, S)> },
        /// Waiting for a newer token, to send the copy.
        Renew { #[pin] token: Acquire, replay: Option<(Req, S)> },
        /// There is a newer token; waiting for the service to be ready again.
        Ready { shared: Arc<Shared>, want: Want, replay: Option<(Req, S)> },
    }
}

struct Held<S, P, Req> {
    policy: P,
    request: Req,
    service: S,
}

impl<S, P, Req> ResponseFuture<S, P, Req>
where
    S: Service<Req>,
{
    fn new(state: State<S, P, Req, S::Future>) -> Self {
        Self { state }
    }

    pub(crate) fn pass(response: S::Future) -> Self {
        Self::new(State::Pass { response })
    }

    pub(crate) fn fail(error: TokenError) -> Self {
        Self::new(State::Fail { error: Some(error) })
    }

    pub(crate) fn acquire(shared: &Arc<Shared>, policy: P, request: Req, service: S) -> Self {
        Self::new(State::First {
            token: Acquire::new(shared.clone(), Want::default()),
            held: Some(Held {
                policy,
                request,
                service,
            }),
        })
    }

    pub(crate) fn sent(response: S::Future, sent: Sent, replay: Option<(Req, S)>) -> Self {
        Self::new(State::Sent {
            response,
            sent: Some(sent),
            replay,
        })
    }
}

const POLLED_AGAIN: &str = "`ResponseFuture` polled after it was ready";

impl<S, P, Req> Future for ResponseFuture<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: ResponseMessage,
    P: ReplayPolicy<Req>,
    Req: RequestMessage,
{
    type Output = Result<S::Response, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Pass { response } => return response.poll(cx).map_err(Error::Inner),
                StateProj::Fail { error } => {
                    return Poll::Ready(Err(error.take().expect(POLLED_AGAIN).into()));
                }
                StateProj::First { mut token, held } => {
                    let live = ready!(token.as_mut().poll(cx))?;
                    let Held {
                        policy,
                        mut request,
                        mut service,
                    } = held.take().expect(POLLED_AGAIN);
                    let copy = policy.copy(&request);
                    attach(&mut request, &live);
                    let response = service.call(request);
                    State::Sent {
                        response,
                        sent: Some(Sent::new(token.as_ref().shared().clone(), &live, false)),
                        replay: copy.map(|copy| (copy, service)),
                    }
                }
                StateProj::Sent {
                    response,
                    sent,
                    replay,
                } => {
                    let mut response = ready!(response.poll(cx)).map_err(Error::Inner)?;
                    let sent = sent.take().expect(POLLED_AGAIN);
                    match sent.judge(&mut response, replay.is_some()) {
                        Next::Return => return Poll::Ready(Ok(response)),
                        // The response is dropped before the wait, and with it
                        // its hold on a connection.
                        Next::Replay => {
                            let want = Want {
                                newer_than: sent.generation,
                                ..Want::default()
                            };
                            State::Renew {
                                token: Acquire::new(sent.shared, want),
                                replay: replay.take(),
                            }
                        }
                    }
                }
                StateProj::Renew { mut token, replay } => {
                    ready!(token.as_mut().poll(cx))?;
                    State::Ready {
                        shared: token.as_ref().shared().clone(),
                        want: token.as_ref().want(),
                        replay: replay.take(),
                    }
                }
                StateProj::Ready {
                    shared,
                    want,
                    replay,
                } => {
                    let (_, service) = replay.as_mut().expect(POLLED_AGAIN);
                    ready!(service.poll_ready(cx)).map_err(Error::Inner)?;
                    match shared.look(*want) {
                        Step::Fail(error) => return Poll::Ready(Err(error.into())),
                        // It was a long wait, and the token is gone.
                        Step::Wait(_) => State::Renew {
                            token: Acquire::new(shared.clone(), *want),
                            replay: replay.take(),
                        },
                        Step::Serve(live) => {
                            let (mut request, mut service) = replay.take().expect(POLLED_AGAIN);
                            attach(&mut request, &live);
                            State::Sent {
                                response: service.call(request),
                                sent: Some(Sent::new(shared.clone(), &live, true)),
                                replay: None,
                            }
                        }
                    }
                }
            };
            state.set(next);
        }
    }
}

fn attach<Req: RequestMessage>(request: &mut Req, live: &Live) {
    request
        .headers_mut()
        .insert(AUTHORIZATION, live.token.header().clone());
}

impl<S, P, Req> fmt::Debug for ResponseFuture<S, P, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
