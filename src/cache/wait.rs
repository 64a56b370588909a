//! One caller's way to a token.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep};

use crate::cache::clock::CoarseTime;
use crate::cache::fetch::Next;
use crate::cache::shared::{FetchOutcome, Shared, no_runtime};
use crate::cache::single_flight::Waiter;
use crate::cache::state::{Requirements, lives_too_short};
use crate::error::{TokenError, TokenErrorKind};
use crate::telemetry::Wait;

/// How often a caller starts over because a flight's runtime ended under it.
const MOST_ABANDONED: u8 = 8;

pin_project! {
    /// Resolves to a token that may be sent now. Dropping it ends the wait and
    /// nothing else.
    pub(crate) struct WaitForToken {
        shared: Arc<Shared>,
        needs: Requirements,
        waiter: Option<Waiter<FetchOutcome>>,
        #[pin]
        deadline: Option<Sleep>,
        wait: Option<Wait>,
        abandoned: u8,
    }
}

impl WaitForToken {
    pub(crate) fn new(shared: Arc<Shared>, needs: Requirements) -> Self {
        Self::joined(shared, needs, None)
    }

    /// The way of a caller who has looked already.
    pub(crate) fn joined(
        shared: Arc<Shared>,
        needs: Requirements,
        waiter: Option<Waiter<FetchOutcome>>,
    ) -> Self {
        Self {
            shared,
            needs,
            waiter,
            deadline: None,
            wait: None,
            abandoned: 0,
        }
    }

    pub(crate) fn shared(self: Pin<&Self>) -> &Arc<Shared> {
        self.project_ref().shared
    }

    pub(crate) fn needs(self: Pin<&Self>) -> Requirements {
        *self.project_ref().needs
    }
}

impl Future for WaitForToken {
    type Output = FetchOutcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<FetchOutcome> {
        let mut this = self.project();
        loop {
            let Some(waiter) = this.waiter else {
                match this.shared.lookup(*this.needs) {
                    Next::Serve(live) => return Poll::Ready(Ok(live)),
                    Next::Fail(error) => return Poll::Ready(Err(error)),
                    Next::Wait(waiter) => *this.waiter = Some(waiter),
                }
                continue;
            };
            match Pin::new(waiter).poll(cx) {
                Poll::Ready(done) => {
                    *this.waiter = None;
                    match done {
                        Some(Ok(live)) if !this.needs.valid_for.is_zero() => {
                            let age = this.shared.settings.clock.now().since(&live.requested_at);
                            let needed = age.saturating_add(this.needs.valid_for);
                            let enough = live.schedule.expired.is_none_or(|end| needed <= end);
                            return Poll::Ready(enough.then_some(live).ok_or_else(lives_too_short));
                        }
                        Some(Ok(live))
                            if live.generation() > this.needs.newer_than
                                && live.is_fast_at(CoarseTime::now()) =>
                        {
                            return Poll::Ready(Ok(live));
                        }
                        // It was a while ago that it done: look again.
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Poll::Ready(Err(error)),
                        None => {
                            *this.abandoned += 1;
                            if *this.abandoned > MOST_ABANDONED {
                                return Poll::Ready(Err(no_runtime(
                                    "the runtime is shutting down",
                                )));
                            }
                        }
                    }
                }
                Poll::Pending => {
                    if this.deadline.is_none() {
                        if let Err(error) = Handle::try_current() {
                            return Poll::Ready(Err(no_runtime(error)));
                        }
                        let deadline = timed(|| sleep(this.shared.settings.wait_timeout))?;
                        this.deadline.set(Some(deadline));
                        *this.wait = Some(Wait::begin(&this.shared.label));
                    }
                    if let Some(deadline) = this.deadline.as_mut().as_pin_mut() {
                        ready!(timed(|| deadline.poll(cx))?);
                    }
                    let what = format!("no token within {:?}", this.shared.settings.wait_timeout);
                    return Poll::Ready(Err(TokenError::new(TokenErrorKind::WaitTimeout, what)));
                }
            }
        }
    }
}

/// tokio's timers panic in a runtime that has none, or has ended. A waiter gets
/// an error instead.
fn timed<T>(timer: impl FnOnce() -> T) -> Result<T, TokenError> {
    catch_unwind(AssertUnwindSafe(timer))
        .map_err(|_| no_runtime("the runtime has no timer or is shutting down"))
}
