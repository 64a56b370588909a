//! One caller's wait for a token.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::cache::current::CachedToken;
use crate::cache::fetch::Next;
use crate::cache::permitted_call;
use crate::cache::shared::{FetchEnd, FetchOutcome, Shared, no_runtime};
use crate::cache::single_flight::Waiter;
use crate::cache::state::Requirements;
use crate::error::{TokenError, TokenErrorKind};
use crate::telemetry::WaitSpan;

/// How often a caller's own fetch may be dropped before its end, which a runtime
/// that is shutting down does at once.
const MAX_DROPPED: u8 = 8;

/// Resolves to a token that may be sent now. Dropping it only ends the wait.
pub(crate) struct WaitForToken {
    on: On,
    deadline: Option<Instant>,
    more: Option<Box<More>>,
    timer: Timer,
    started: bool,
    dropped: u8,
    /// Whether it is parked, and counted among the waiting callers.
    shown: bool,
    /// Whether it has waited since before `deadline`, and the duration is not
    /// reported yet.
    waits: bool,
}

/// What a caller waits on.
enum On {
    /// Nothing: it makes a lookup next.
    Nothing(Arc<Shared>),
    /// A fetch, which knows its cache.
    Fetch(Waiter<FetchEnd, Arc<Shared>>),
}

/// A token that is there.
pub(crate) enum Token<R> {
    /// What was made of a fetched token.
    Fetched(R),
    /// The token of a lookup.
    Found(Arc<CachedToken>),
}

/// What few callers have, kept separately so that a waiting caller is small.
#[derive(Default)]
struct More {
    needs: Requirements,
    timer: Option<Pin<Box<Sleep>>>,
    span: Option<WaitSpan>,
}

/// What wakes a caller when its time is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// Nothing yet.
    Unset,
    /// The timer of the fetch, which serves all of its waiters.
    OfFetch,
    Own,
}

impl WaitForToken {
    pub(crate) fn new(shared: Arc<Shared>, needs: Requirements) -> Self {
        Self::on(On::Nothing(shared), needs)
    }

    /// Returns the wait of a caller that has already made the first lookup.
    pub(crate) fn joined(
        needs: Requirements,
        waiter: Waiter<FetchEnd, Arc<Shared>>,
        started: bool,
    ) -> Self {
        let mut wait = Self::on(On::Fetch(waiter), needs);
        wait.started = started;
        wait
    }

    fn on(on: On, needs: Requirements) -> Self {
        let more = || More {
            needs,
            ..More::default()
        };
        Self {
            on,
            deadline: None,
            more: (needs != Requirements::default()).then(|| Box::new(more())),
            timer: Timer::Unset,
            started: false,
            dropped: 0,
            shown: false,
            waits: false,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        match &self.on {
            On::Nothing(shared) => shared,
            On::Fetch(waiter) => waiter.owner(),
        }
    }

    /// Returns the fetch that the caller waits for.
    fn fetch(&self) -> Option<&Waiter<FetchEnd, Arc<Shared>>> {
        match &self.on {
            On::Nothing(_) => None,
            On::Fetch(waiter) => Some(waiter),
        }
    }

    pub(crate) fn needs(&self) -> Requirements {
        self.more.as_ref().map(|it| it.needs).unwrap_or_default()
    }

    /// Returns when the caller's time is over; `None` before the wait begins.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Polls for a token. `take` gets a reference to a token that was fetched for
    /// many callers, so that none of them counts its references; it may be sent at
    /// once.
    pub(crate) fn poll_then<R>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&Arc<CachedToken>, &Arc<Shared>, &mut Context<'_>) -> R,
    ) -> Poll<Result<Token<R>, TokenError>> {
        loop {
            let waiter = match &self.on {
                On::Fetch(waiter) => waiter,
                On::Nothing(shared) => match shared.lookup(self.needs()) {
                    Next::Serve { live, .. } => return Poll::Ready(Ok(Token::Found(live))),
                    Next::Fail(error) => return Poll::Ready(Err(error)),
                    Next::Wait { waiter, started } => {
                        (self.on, self.started) = (On::Fetch(waiter), started);
                        continue;
                    }
                },
            };
            let Some(end) = waiter.end() else {
                ready!(self.poll_parked(cx))?;
                continue;
            };
            // A lookup decides whether this caller needs another token.
            if let Some(FetchEnd { outcome, at }) = end
                && let Ok(live) = outcome
                && self.needs().are_met_fast_by(live)
            {
                let (taken, at) = (take(live, waiter.owner(), cx), *at);
                self.leave_ended(at);
                return Poll::Ready(Ok(Token::Fetched(taken)));
            }
            self.leave_unserved()?;
        }
    }

    /// Handles a fetch that ended without the token that this caller needs.
    fn leave_unserved(&mut self) -> Result<(), TokenError> {
        let on = On::Nothing(self.shared().clone());
        let on = std::mem::replace(&mut self.on, on);
        let shown = self.shown;
        let end = match &on {
            On::Fetch(waiter) => waiter.end().flatten(),
            On::Nothing(_) => None,
        };
        match end {
            Some(FetchEnd { outcome, at }) => {
                self.leave_ended(*at);
                if let Err(error) = outcome {
                    return Err(error.clone());
                }
            }
            None => {
                if shown {
                    self.shown = false;
                    self.shared().gauges.waits_ended(1);
                }
                // The fetch's timer ended with it.
                if self.timer == Timer::OfFetch {
                    self.timer = Timer::Unset;
                }
                // The end of another runtime says nothing about this one.
                self.dropped += u8::from(self.started);
                if self.dropped > MAX_DROPPED {
                    return Err(no_runtime("the runtime is shutting down"));
                }
            }
        }
        Ok(())
    }

    /// Handles the end of the fetch, which has updated the gauges, and reported how
    /// long the callers that its timer served have waited.
    fn leave_ended(&mut self, at: Instant) {
        self.shown = false;
        if self.timer == Timer::OfFetch {
            (self.timer, self.waits) = (Timer::Unset, false);
        }
        self.end_wait(at);
    }

    /// Reports how long the caller has waited, once.
    fn end_wait(&mut self, at: Instant) {
        if std::mem::take(&mut self.waits)
            && let Some(deadline) = self.deadline
        {
            let left = deadline.saturating_duration_since(at);
            let took = self.shared().settings.wait_timeout.saturating_sub(left);
            self.shared().gauges.waited([took]);
        }
    }

    /// Parks on the fetch in progress. Ready when it is to be checked again.
    fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        let now = Instant::now();
        let limit = self.shared().settings.wait_timeout;
        let deadline = self.deadline.unwrap_or_else(|| now + limit);
        self.choose_timer()?;
        let due = (self.timer == Timer::OfFetch).then_some(deadline);
        if let On::Fetch(waiter) = &mut self.on
            && waiter.poll_end(cx, due).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        if !std::mem::replace(&mut self.shown, true) {
            self.shared().gauges.wait_began();
        }
        if self.deadline.is_none() {
            (self.deadline, self.waits) = (Some(deadline), true);
            if let Some(span) = WaitSpan::begin(&self.shared().label) {
                self.more.get_or_insert_default().span = Some(span);
            }
        }
        if now >= deadline {
            let what = format!("no token within {limit:?}");
            return Poll::Ready(Err(TokenError::new(TokenErrorKind::WaitTimeout, what)));
        }
        let polled = self.poll_own_timer(deadline, cx);
        if polled.is_pending() {
            // In a call of another cache's source, which must not hold its permit
            // for this.
            permitted_call::release();
        }
        polled
    }

    /// Chooses the timer of a caller that is about to be parked. One that joins a
    /// second fetch has less time left than the fetch's timer allows.
    fn choose_timer(&mut self) -> Result<(), TokenError> {
        if self.timer == Timer::Unset {
            let runtime = Handle::try_current().map_err(no_runtime)?;
            let waiter = self.fetch().filter(|_| self.deadline.is_none());
            if waiter.is_some_and(|waiter| waiter.is_timed_in(runtime.id())) {
                self.timer = Timer::OfFetch;
            }
        }
        Ok(())
    }

    /// Polls the caller's own timer, which ends early if the fetch may be stalled.
    fn poll_own_timer(
        &mut self,
        deadline: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TokenError>> {
        if self.timer == Timer::OfFetch {
            return Poll::Pending;
        }
        let shared = match &self.on {
            On::Nothing(shared) => shared,
            On::Fetch(waiter) => waiter.owner(),
        };
        let more = self.more.get_or_insert_default();
        match &mut more.timer {
            Some(timer) => {
                ready!(timed(|| timer.as_mut().poll(cx))?);
                more.timer = None;
                self.timer = Timer::Unset;
            }
            None => {
                let stalled = shared.give_up_stalled();
                let until =
                    stalled.map_or(deadline, |stalled| deadline.min(Instant::now() + stalled));
                more.timer = Some(timed(|| Box::pin(sleep_until(until)))?);
                self.timer = Timer::Own;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for WaitForToken {
    type Output = FetchOutcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<FetchOutcome> {
        let token = ready!(self.get_mut().poll_then(cx, |live, _, _| live.clone()))?;
        let (Token::Fetched(live) | Token::Found(live)) = token;
        Poll::Ready(Ok(live))
    }
}

impl Drop for WaitForToken {
    fn drop(&mut self) {
        let mut told = false;
        if self.shown {
            let left = match &mut self.on {
                On::Fetch(waiter) => waiter.leave(),
                On::Nothing(_) => false,
            };
            let end = self.fetch().and_then(Waiter::end);
            // The end of the fetch has updated the gauges.
            let has_ended = !left && end.flatten().is_some();
            told = has_ended && self.timer == Timer::OfFetch;
            if !has_ended {
                self.shared().gauges.waits_ended(1);
            }
        }
        if self.waits && !told {
            self.end_wait(Instant::now());
        }
    }
}

/// Sets up a timer. tokio's timers panic in a runtime that has none, or has ended;
/// a waiter gets an error instead.
fn timed<T>(timer: impl FnOnce() -> T) -> Result<T, TokenError> {
    catch_unwind(AssertUnwindSafe(timer))
        .map_err(|_| no_runtime("the runtime has no timer or is shutting down"))
}
