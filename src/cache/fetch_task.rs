//! The task of a fetch: it calls the source, records the result in the state, and
//! ends the waiters' wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::cache::shared::{FetchEnd, FetchOutcome, Shared, no_runtime};
use crate::cache::single_flight::Driver;
use crate::cache::source_call::{FetchContext, Purpose};
use crate::cache::{background, fleet_alone, session};
use crate::error::TokenError;
use crate::telemetry::{self, Event, FetchSummary, Reason};

/// The task of a fetch. Dropped before its end, it leaves the cache unchanged.
pub(crate) struct FetchTask {
    shared: Arc<Shared>,
    reason: Reason,
    context: FetchContext,
    driver: Option<Driver<FetchEnd, Arc<Shared>>>,
    timer: Option<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Wakes the waiters of the fetch in progress whose time is over, and abandons a
/// fetch that is stalled. One timer serves all of them: setting and removing one for
/// each would cost more than waking them.
async fn time_waiters(shared: Arc<Shared>) {
    loop {
        let now = Instant::now();
        let (due, waiters) = shared.flight.wake_due(now);
        // Later callers have all of this time.
        let mut until = now + shared.settings.wait_timeout;
        if let Some(stalled) = shared.give_up_stalled() {
            until = until.min(now + stalled);
        }
        until = due.map_or(until, |due| until.min(due));
        // It checks all of them each time.
        let pace = Duration::from_micros(waiters as u64);
        sleep_until(until.max(now + pace)).await;
    }
}

impl FetchTask {
    pub(crate) fn new(
        shared: Arc<Shared>,
        reason: Reason,
        context: FetchContext,
        driver: Driver<FetchEnd, Arc<Shared>>,
    ) -> Self {
        Self {
            shared,
            reason,
            context,
            driver: Some(driver),
            timer: None,
        }
    }

    /// Runs the fetch in its own task, so that it does not end with a caller.
    /// `waited`: the caller that started it waits, and others may join.
    pub(crate) fn spawn(mut self, waited: bool) -> Result<(), TokenError> {
        let runtime = Handle::try_current().map_err(no_runtime)?;
        if let (true, Some(driver)) = (waited, &self.driver) {
            let timer = runtime.spawn(time_waiters(self.shared.clone()));
            self.timer = Some(AbortOnDrop(timer.abort_handle()));
            driver.set_timed_in(runtime.id(), Instant::now());
        }
        let (label, reason) = (self.shared.label.clone(), self.reason);
        runtime.spawn(telemetry::in_span(&label, reason, self.run()));
        Ok(())
    }

    async fn run(mut self) {
        let shared = self.shared.clone();
        let context = self.context;
        let fetched = match (&shared.fleet, context.purpose) {
            (_, Purpose::Reread) => shared.fetch_if_replaced(context).await,
            (None, _) => shared.fetch_from_source(context).await,
            (Some(fleet), Purpose::Token) => shared.fetch_in_fleet(fleet, context).await,
            (Some(fleet), Purpose::Peek) => shared.peek_in_pause(fleet, context).await,
            (Some(fleet), Purpose::Rejoin) => match shared.rejoin(fleet, context).await {
                Some(fetched) => fetched,
                None => return self.end_as_before(),
            },
        };
        let is_told = match context.purpose {
            Purpose::Peek => fetched.answer.is_ok(),
            Purpose::Reread => fetched.answer.is_ok() || !fetched.from_memory,
            Purpose::Token | Purpose::Rejoin => true,
        };
        let by = fetched.by;
        if let Ok(response) = &fetched.answer
            && response.has_unreadable_lifetime()
        {
            let valid_for = response.access_token().lifetime();
            shared.emit(&Event::LifetimeUnreadable { valid_for });
        }
        let outcome = shared.with_state(|state, now| {
            let random = fastrand::f64();
            state.record(self.context.id, fetched, now, &shared.settings, random)
        });
        if shared.keeps_warm.load(Ordering::Relaxed) {
            background::ensure_keep_warm(&shared);
        }
        session::end_late(&shared);
        fleet_alone::ensure_rejoin(&shared);
        if let (Some(outcome), Some(driver)) = (outcome, self.driver.take()) {
            let summary = FetchSummary {
                reason: self.reason,
                took: self.context.started.elapsed(),
                waiters: end_fetch(&shared, driver, outcome.clone()),
            };
            if !is_told {
                return;
            }
            shared.changes.notify();
            shared.emit(&match &outcome {
                Ok(live) => Event::Fetched {
                    summary,
                    generation: live.generation(),
                    by,
                    valid_for: live.schedule.expired,
                },
                Err(error) => Event::Failed { summary, error },
            });
        }
    }

    /// Ends a fetch that changed nothing. Its waiters look again.
    fn end_as_before(mut self) {
        let driver = self.driver.take();
        let live = self.shared.with_state(|state, now| {
            state.abandon(self.context.id, now);
            state.live.clone()
        });
        if let (Some(live), Some(driver)) = (live, driver) {
            end_fetch(&self.shared, driver, Ok(live));
        }
    }
}

impl Drop for FetchTask {
    fn drop(&mut self) {
        if self.driver.is_some() {
            let learned = self
                .shared
                .with_state(|state, now| state.abandon(self.context.id, now));
            if learned {
                self.shared.emit(&Event::RenewalExclusive);
            }
            let reason = self.reason;
            self.shared.emit(&Event::Abandoned { reason });
        }
    }
}

impl Shared {
    /// Abandons the fetch in progress if it is stalled, and wakes its waiters.
    /// Returns when to check it again.
    pub(crate) fn give_up_stalled(&self) -> Option<Duration> {
        let wall = self.settings.clock.user_wall();
        self.flight.abandon_if(|| {
            self.with_state_at(wall, |state, now| {
                state.current_fetch.give_up(now.monotonic)
            })
        });
        self.with_state(|state, now| state.current_fetch.remaining(now.monotonic))
    }
}

/// Ends a fetch for its waiters, and returns their number.
fn end_fetch(
    shared: &Shared,
    driver: Driver<FetchEnd, Arc<Shared>>,
    outcome: FetchOutcome,
) -> usize {
    let end = FetchEnd::from(outcome);
    let (at, from) = (end.at, driver.timed_from());
    let mut parked = driver.complete(end);
    let waiters = parked.callers();
    shared.gauges.waits_ended(waiters);
    parked.wake();
    if let Some(from) = from {
        let limit = shared.settings.wait_timeout;
        let left = parked.left(from, at);
        shared
            .gauges
            .waited(left.map(|left| limit.saturating_sub(left)));
    }
    waiters
}
