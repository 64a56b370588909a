//! One caller's way to a token.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

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

/// Resolves to a token that may be sent now. Dropping it ends the wait and nothing
/// else.
pub(crate) struct WaitForToken {
    shared: Arc<Shared>,
    needs: Requirements,
    waiter: Option<Waiter<FetchOutcome>>,
    started: bool,
    dropped: u8,
    timer: Timer,
    deadline: Option<Instant>,
    wait: Option<Wait>,
}

/// What wakes a caller when its time is over.
enum Timer {
    /// Nothing yet.
    Unset,
    /// The timer of the fetch, which is one for all of its waiters.
    OfFetch,
    Own(Pin<Box<Sleep>>),
}

impl WaitForToken {
    pub(crate) fn new(shared: Arc<Shared>, needs: Requirements) -> Self {
        Self {
            shared,
            needs,
            waiter: None,
            started: false,
            dropped: 0,
            timer: Timer::Unset,
            deadline: None,
            wait: None,
        }
    }

    /// The wait of a caller who has made the first lookup already.
    pub(crate) fn joined(
        shared: Arc<Shared>,
        needs: Requirements,
        waiter: Waiter<FetchOutcome>,
        started: bool,
    ) -> Self {
        let mut wait = Self::new(shared, needs);
        (wait.waiter, wait.started) = (Some(waiter), started);
        wait
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn needs(&self) -> Requirements {
        self.needs
    }

    /// When the caller's time is over; `None` before the wait begins.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What the end of a fetch means for this caller; `None` for another lookup.
    fn fetched(&mut self, done: Option<FetchOutcome>) -> Option<FetchOutcome> {
        // The fetch's timer went with it.
        if matches!(self.timer, Timer::OfFetch) {
            self.timer = Timer::Unset;
        }
        match done {
            Some(Ok(live)) if self.needs.are_met_fast_by(&live) => Some(Ok(live)),
            // Whether it is what this caller needs a lookup decides.
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(Err(error)),
            None if self.started => {
                self.dropped += 1;
                let ends = self.dropped > MAX_DROPPED;
                ends.then(|| Err(no_runtime("the runtime is shutting down")))
            }
            // Another runtime's end says nothing of this one.
            None => None,
        }
    }

    /// Chooses the timer of a caller who is parked. `first`: whoever joins a second
    /// fetch has less time left than the fetch's timer allows for.
    fn choose_timer(&mut self, first: bool) -> Result<(), TokenError> {
        if matches!(self.timer, Timer::Unset) {
            let runtime = Handle::try_current().map_err(no_runtime)?;
            let waiter = self.waiter.as_ref();
            if first && waiter.is_some_and(|waiter| waiter.is_timed_in(runtime.id())) {
                self.timer = Timer::OfFetch;
            }
        }
        Ok(())
    }

    /// Polls the caller's own timer, which ends early where the fetch may be
    /// stalled.
    fn poll_own_timer(
        &mut self,
        deadline: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TokenError>> {
        let timer = match &mut self.timer {
            Timer::OfFetch => return Poll::Pending,
            Timer::Own(timer) => timer,
            Timer::Unset => {
                let stalled = self.shared.give_up_stalled();
                let until =
                    stalled.map_or(deadline, |stalled| deadline.min(Instant::now() + stalled));
                let timer = timed(|| Box::pin(sleep_until(until)))?;
                self.timer = Timer::Own(timer);
                return Poll::Ready(Ok(()));
            }
        };
        ready!(timed(|| timer.as_mut().poll(cx))?);
        self.timer = Timer::Unset;
        Poll::Ready(Ok(()))
    }
}

impl Future for WaitForToken {
    type Output = FetchOutcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<FetchOutcome> {
        let this = self.get_mut();
        loop {
            let Some(waiter) = &mut this.waiter else {
                match this.shared.lookup(this.needs) {
                    Next::Serve { live, .. } => return Poll::Ready(Ok(live)),
                    Next::Fail(error) => return Poll::Ready(Err(error)),
                    Next::Wait { waiter, started } => {
                        (this.waiter, this.started) = (Some(waiter), started);
                    }
                }
                continue;
            };
            let first = this.deadline.is_none() || matches!(this.timer, Timer::OfFetch);
            let now = Instant::now();
            let deadline = match this.deadline {
                Some(deadline) => deadline,
                None => now + this.shared.settings.wait_timeout,
            };
            if let Poll::Ready(done) = waiter.poll(cx, first.then_some(deadline)) {
                this.waiter = None;
                if let Some(outcome) = this.fetched(done) {
                    return Poll::Ready(outcome);
                }
                continue;
            }
            if let Err(error) = this.choose_timer(first) {
                return Poll::Ready(Err(error));
            }
            if this.deadline.is_none() {
                this.deadline = Some(deadline);
                this.wait = Some(Wait::begin(&this.shared.label));
            }
            if now >= deadline {
                let what = format!("no token within {:?}", this.shared.settings.wait_timeout);
                return Poll::Ready(Err(TokenError::new(TokenErrorKind::WaitTimeout, what)));
            }
            match this.poll_own_timer(deadline, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // In a call of another cache's source, which its permit is not for.
                    permitted_call::release();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for WaitForToken {
    fn drop(&mut self) {
        if let (Some(wait), Some(deadline)) = (self.wait.take(), self.deadline) {
            let left = deadline.saturating_duration_since(Instant::now());
            let took = self.shared.settings.wait_timeout.saturating_sub(left);
            wait.end(&self.shared.label, took);
        }
    }
}

/// tokio's timers panic in a runtime that has none, or has ended. A waiter gets
/// an error instead.
fn timed<T>(timer: impl FnOnce() -> T) -> Result<T, TokenError> {
    catch_unwind(AssertUnwindSafe(timer))
        .map_err(|_| no_runtime("the runtime has no timer or is shutting down"))
}
