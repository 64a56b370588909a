//! One caller's way to a token.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::cache::clock::CoarseTime;
use crate::cache::fetch::Next;
use crate::cache::permitted_call;
use crate::cache::shared::{FetchOutcome, Shared, no_runtime};
use crate::cache::single_flight::Waiter;
use crate::cache::state::Requirements;
use crate::error::{TokenError, TokenErrorKind};
use crate::telemetry::Wait;

/// How often a caller's own fetch may be dropped before its end, which a runtime
/// that is shutting down does at once.
const MAX_DROPPED: u8 = 8;

pin_project! {
    /// Resolves to a token that may be sent now. Dropping it ends the wait and
    /// nothing else.
    pub(crate) struct WaitForToken {
        shared: Arc<Shared>,
        needs: Requirements,
        waiter: Option<Waiter<FetchOutcome>>,
        started: bool,
        deadline: Option<Instant>,
        #[pin]
        timer: Option<Sleep>,
        wait: Option<Wait>,
        dropped: u8,
    }
}

impl WaitForToken {
    pub(crate) fn new(shared: Arc<Shared>, needs: Requirements) -> Self {
        Self {
            shared,
            needs,
            waiter: None,
            started: false,
            deadline: None,
            timer: None,
            wait: None,
            dropped: 0,
        }
    }

    /// The wait of a caller who has made the first lookup already.
    pub(crate) fn joined(
        shared: Arc<Shared>,
        needs: Requirements,
        waiter: Waiter<FetchOutcome>,
        started: bool,
    ) -> Self {
        Self {
            waiter: Some(waiter),
            started,
            ..Self::new(shared, needs)
        }
    }

    pub(crate) fn shared(self: Pin<&Self>) -> &Arc<Shared> {
        self.project_ref().shared
    }

    pub(crate) fn needs(self: Pin<&Self>) -> Requirements {
        *self.project_ref().needs
    }

    /// When the caller's time is over; `None` before the wait begins.
    pub(crate) fn deadline(self: Pin<&Self>) -> Option<Instant> {
        *self.project_ref().deadline
    }
}

impl Future for WaitForToken {
    type Output = FetchOutcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<FetchOutcome> {
        let mut this = self.project();
        loop {
            let Some(waiter) = this.waiter else {
                match this.shared.lookup(*this.needs) {
                    Next::Serve { live, .. } => return Poll::Ready(Ok(live)),
                    Next::Fail(error) => return Poll::Ready(Err(error)),
                    Next::Wait { waiter, started } => {
                        (*this.waiter, *this.started) = (Some(waiter), started);
                    }
                }
                continue;
            };
            if let Poll::Ready(done) = Pin::new(waiter).poll(cx) {
                *this.waiter = None;
                match done {
                    Some(Ok(live))
                        if live.generation() > this.needs.newer_than
                            && this.needs.valid_for.is_zero()
                            && live.is_fast_at(CoarseTime::now()) =>
                    {
                        return Poll::Ready(Ok(live));
                    }
                    // Whether it is what this caller needs a lookup decides.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None if *this.started => {
                        *this.dropped += 1;
                        if *this.dropped > MAX_DROPPED {
                            let what = "the runtime is shutting down";
                            return Poll::Ready(Err(no_runtime(what)));
                        }
                    }
                    // Another runtime's end says nothing of this one.
                    None => {}
                }
                continue;
            }
            let now = Instant::now();
            let deadline = match *this.deadline {
                Some(deadline) => deadline,
                None => {
                    if let Err(error) = Handle::try_current() {
                        return Poll::Ready(Err(no_runtime(error)));
                    }
                    *this.wait = Some(Wait::begin(&this.shared.label));
                    *this
                        .deadline
                        .insert(now + this.shared.settings.wait_timeout)
                }
            };
            if now >= deadline {
                let what = format!("no token within {:?}", this.shared.settings.wait_timeout);
                return Poll::Ready(Err(TokenError::new(TokenErrorKind::WaitTimeout, what)));
            }
            if this.timer.is_none() {
                let stalled = this.shared.give_up_stalled();
                let until = stalled.map_or(deadline, |stalled| deadline.min(now + stalled));
                this.timer.set(Some(timed(|| sleep_until(until))?));
            }
            let Some(timer) = this.timer.as_mut().as_pin_mut() else {
                continue;
            };
            if timed(|| timer.poll(cx))?.is_pending() {
                // In a call of another cache's source, which its permit is not for.
                permitted_call::release();
                return Poll::Pending;
            }
            this.timer.set(None);
        }
    }
}

/// tokio's timers panic in a runtime that has none, or has ended. A waiter gets
/// an error instead.
fn timed<T>(timer: impl FnOnce() -> T) -> Result<T, TokenError> {
    catch_unwind(AssertUnwindSafe(timer))
        .map_err(|_| no_runtime("the runtime has no timer or is shutting down"))
}
