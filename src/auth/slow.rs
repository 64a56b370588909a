//! States of a request off the fast path: waiting for a token, and for the inner
//! service to be ready.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::auth::error::Error;
use crate::auth::message::{HttpRequest, HttpResponse};
use crate::auth::pending::{Pending, Replay, Sent, Unsent};
use crate::auth::readiness::Queued;
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::{Attempt, not_copied, passed};
use crate::cache::{CachedToken, InUse, Next, Requirements, Shared, WaitForToken};
use crate::error::{TokenError, TokenErrorKind};

pin_project! {
    #[project = SlowStateProj]
    pub(crate) enum SlowState<S, P, Req, F, Res, D, C> {
        /// No token may go there, or the request already has an `Authorization`.
        Pass { #[pin] response: F, unlisted: bool },
        /// The same, but another request has taken the readiness.
        PassQueued { queued: Queued<S>, request: Option<Req>, unlisted: bool },
        Fail { error: Option<TokenError> },
        /// Waiting for a token: the first one, or a newer one than the rejected one.
        AwaitToken { token: WaitForToken, pending: Option<Pending<S, P, Req, Res>> },
        /// There is a token; waiting for the service to be ready.
        AwaitReady {
            needs: Requirements,
            shared: Arc<Shared>,
            live: Arc<CachedToken>,
            deadline: Option<Instant>,
            timer: Option<Pin<Box<Sleep>>>,
            pending: Option<Pending<S, P, Req, Res>>,
        },
        /// Sent with a token whose uses are counted, or whose success is to be
        /// reported.
        Watched {
            #[pin] response: F,
            attempt: Attempt,
            replay: Option<Replay<S, C>>,
            in_use: Option<InUse>,
        },
        /// Waiting for a newer token before returning the response that rejected the
        /// old one.
        AwaitRenewal { token: WaitForToken, rejection: Option<Res> },
        /// Reading the rest of the response that rejected the token.
        Drain { #[pin] drain: D, live: Arc<CachedToken>, in_use: Option<InUse>, shared: Arc<Shared>, pending: Option<Pending<S, P, Req, Res>> },
        Done,
    }
}

pub(crate) type SlowStateOf<S, P, Req> = SlowState<
    S,
    P,
    Req,
    <S as Service<Req>>::Future,
    <S as Service<Req>>::Response,
    <<S as Service<Req>>::Response as HttpResponse>::Drain,
    <P as ReplayPolicy<Req>>::Copy,
>;

/// Where the states off the fast path lead.
#[allow(
    clippy::large_enum_variant,
    reason = "moved once, where a caller has waited"
)]
pub(crate) enum Transition<S, Req, C>
where
    S: Service<Req>,
    S::Response: HttpResponse,
{
    Sent(Sent<S, C, S::Future>),
    /// A response to be read.
    Responded(S::Response, Attempt, Option<Replay<S, C>>),
    End(Result<S::Response, Error<S::Error>>),
}

impl<S, P, Req> SlowStateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    /// Waits for a newer token. Queues for readiness before the first attempt's
    /// readiness is given back with its future.
    pub(crate) fn renew(
        attempt: Attempt,
        replay: Option<Replay<S, P::Copy>>,
        rejection: S::Response,
    ) -> Self {
        let Some(replay) = replay else {
            return Self::Done;
        };
        let Some(request) = P::replay(replay.copy) else {
            return Self::AwaitRenewal {
                token: WaitForToken::new(replay.shared, attempt.needs()),
                rejection: Some(rejection),
            };
        };
        let unsent = Unsent {
            queued: replay.standby.queue(),
            policy: None,
            origin: attempt.origin(),
            request,
        };
        Self::AwaitToken {
            token: WaitForToken::new(replay.shared, attempt.needs()),
            pending: Some(Pending {
                unsent,
                rejection: Some(Box::new(rejection)),
            }),
        }
    }

    #[inline(never)]
    pub(crate) fn step(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Transition<S, Req, P::Copy>> {
        let inner_error = |error| Poll::Ready(Transition::End(Err(Error::Inner(error))));
        loop {
            let next = match self.as_mut().project() {
                SlowStateProj::Pass { response, unlisted } => {
                    let unlisted = *unlisted;
                    return response.poll(cx).map(|result| {
                        let passed = result.map(|response| passed(response, unlisted));
                        Transition::End(passed.map_err(Error::Inner))
                    });
                }
                SlowStateProj::PassQueued {
                    queued,
                    request,
                    unlisted,
                } => {
                    if let Err(error) = ready!(queued.poll_ready(cx)) {
                        return inner_error(error);
                    }
                    match request.take() {
                        Some(request) => Self::Pass {
                            response: queued.service().call(request),
                            unlisted: *unlisted,
                        },
                        None => Self::Done,
                    }
                }
                SlowStateProj::Fail { error } => match error.take() {
                    Some(error) => {
                        return Poll::Ready(Transition::End(Err(Error::Token(error))));
                    }
                    None => Self::Done,
                },
                SlowStateProj::AwaitToken { token, pending } => {
                    let fetched = ready!(Pin::new(&mut *token).poll(cx));
                    match (pending.take(), fetched) {
                        (Some(pending), Ok(live)) => Self::AwaitReady {
                            needs: token.needs(),
                            shared: token.shared().clone(),
                            live,
                            deadline: token.deadline(),
                            timer: None,
                            pending: Some(pending),
                        },
                        (Some(pending), Err(error)) => {
                            return Poll::Ready(Transition::End(pending.fail(error)));
                        }
                        (None, _) => Self::Done,
                    }
                }
                SlowStateProj::Watched {
                    response,
                    attempt,
                    replay,
                    in_use,
                } => {
                    let response = match ready!(response.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => return inner_error(error),
                    };
                    // The API has read the token.
                    drop(in_use.take());
                    let responded = Transition::Responded(response, *attempt, replay.take());
                    return Poll::Ready(responded);
                }
                SlowStateProj::AwaitRenewal { token, rejection } => {
                    let renewed = ready!(Pin::new(token).poll(cx));
                    match rejection.take() {
                        Some(rejection) => {
                            let response = not_copied(rejection, renewed);
                            return Poll::Ready(Transition::End(Ok(response)));
                        }
                        None => Self::Done,
                    }
                }
                SlowStateProj::AwaitReady {
                    needs,
                    shared,
                    live,
                    deadline,
                    timer,
                    pending,
                } => {
                    if let Some(waiting) = pending {
                        match waiting.unsent.queued.poll_ready(cx) {
                            Poll::Ready(Ok(())) => {}
                            Poll::Ready(Err(error)) => return inner_error(error),
                            Poll::Pending => {
                                let limit = shared.settings.wait_timeout;
                                let until = deadline.unwrap_or_else(|| Instant::now() + limit);
                                let timer =
                                    timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
                                ready!(timer.as_mut().poll(cx));
                                let what =
                                    "the client was not ready in the time that a caller waits";
                                let error = TokenError::new(TokenErrorKind::WaitTimeout, what);
                                let Some(pending) = pending.take() else {
                                    return Poll::Pending;
                                };
                                return Poll::Ready(Transition::End(pending.fail(error)));
                            }
                        }
                    }
                    match pending.take() {
                        Some(mut pending) => match next(shared, *needs, live) {
                            Next::Serve { live, in_use } => match pending.rejection.take() {
                                Some(rejection) => Self::Drain {
                                    drain: (*rejection).drain(),
                                    live,
                                    in_use,
                                    shared: shared.clone(),
                                    pending: Some(pending),
                                },
                                None => {
                                    let sent = pending.unsent.send(&live, in_use, shared);
                                    return Poll::Ready(Transition::Sent(sent));
                                }
                            },
                            Next::Fail(error) => {
                                return Poll::Ready(Transition::End(pending.fail(error)));
                            }
                            Next::Wait { waiter, started } => Self::AwaitToken {
                                token: WaitForToken::joined(*needs, waiter, started),
                                pending: Some(pending),
                            },
                        },
                        None => Self::Done,
                    }
                }
                SlowStateProj::Drain {
                    drain,
                    live,
                    in_use,
                    shared,
                    pending,
                } => {
                    ready!(drain.poll(cx));
                    match pending.take() {
                        Some(pending) => {
                            let unsent = pending.unsent;
                            // Another token may be in use by now.
                            let sent = match next(shared, no_older_than(live), live) {
                                Next::Serve { live, in_use } => unsent.send(&live, in_use, shared),
                                // The response to return without a token has been
                                // read already, so the token from before has to do.
                                Next::Fail(_) | Next::Wait { .. } => {
                                    unsent.send(live, in_use.take(), shared)
                                }
                            };
                            return Poll::Ready(Transition::Sent(sent));
                        }
                        None => Self::Done,
                    }
                }
                SlowStateProj::Done => panic!("`ResponseFuture` polled after it was ready"),
            };
            self.set(next);
        }
    }
}

fn no_older_than(live: &CachedToken) -> Requirements {
    Requirements {
        newer_than: live.generation().saturating_sub(1),
        ..Requirements::default()
    }
}

/// Decides for a caller that had to wait for the service, perhaps for long.
fn next(shared: &Arc<Shared>, needs: Requirements, live: &Arc<CachedToken>) -> Next {
    match needs.are_met_fast_by(live) {
        true => Next::Serve {
            live: live.clone(),
            in_use: None,
        },
        false => shared.lookup(needs),
    }
}

impl<S, P, Req, F, Res, D, C> SlowState<S, P, Req, F, Res, D, C> {
    /// Handles the first token. The service may not be ready.
    pub(crate) fn await_ready(
        token: &WaitForToken,
        live: Arc<CachedToken>,
        unsent: Option<Unsent<S, P, Req>>,
    ) -> Self {
        Self::AwaitReady {
            needs: token.needs(),
            shared: token.shared().clone(),
            live,
            deadline: token.deadline(),
            timer: None,
            pending: unsent.map(|unsent| Pending {
                unsent,
                rejection: None,
            }),
        }
    }
}
