//! Fetching: who starts a fetch, when, and in which task.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::cache::current::CachedToken;
use crate::cache::exclusive::InUse;
use crate::cache::shared::{FetchEnd, FetchOutcome, Shared, no_runtime};
use crate::cache::single_flight::{Driver, Joined, Waiter};
use crate::cache::source_call::{FetchContext, GRACE, Purpose};
use crate::cache::state::{Begun, Lookup, Requirements};
use crate::cache::{background, fleet_alone, session};
use crate::error::TokenError;
use crate::telemetry::{self, Event, FetchSummary};

/// What a caller does next.
pub(crate) enum Next {
    Serve {
        live: Arc<CachedToken>,
        /// To be kept until the token was sent and answered.
        in_use: Option<InUse>,
    },
    Fail(TokenError),
    Wait {
        waiter: Waiter<FetchEnd, Arc<Shared>>,
        /// The caller started the fetch, in its own runtime.
        started: bool,
    },
}

impl Shared {
    /// Serves, starts a renewal, or has the caller wait.
    pub(crate) fn lookup(self: &Arc<Self>, needs: Requirements) -> Next {
        match self.with_state(|state, now| state.lookup(needs, now)) {
            Lookup::Serve {
                live,
                in_use,
                renew,
            } => {
                if renew {
                    self.renew();
                }
                Next::Serve { live, in_use }
            }
            Lookup::Fail(error) if self.may_reread(&error) => self.fetch(needs, Purpose::Reread),
            Lookup::Fail(error) => self.peek(needs, error),
            Lookup::Fetch => self.fetch(needs, Purpose::Token),
        }
    }

    /// Where no fetch may be made, another process of the fleet may have a token all
    /// the same.
    fn peek(self: &Arc<Self>, needs: Requirements, error: TokenError) -> Next {
        let peeks = self.fleet.is_some()
            && Handle::try_current().is_ok()
            && self.with_state(|state, now| state.may_peek(now.monotonic));
        match peeks {
            true => self.fetch(needs, Purpose::Peek),
            false => Next::Fail(error),
        }
    }

    /// Where credentials were refused that are in files, others may be in them now.
    fn may_reread(&self, error: &TokenError) -> bool {
        Handle::try_current().is_ok()
            && self.with_state(|state, now| state.may_reread(error, now.monotonic))
            && self.source.contents().is_some()
    }

    fn fetch(self: &Arc<Self>, needs: Requirements, purpose: Purpose) -> Next {
        let joined = self.join(needs, purpose, |lookup| match lookup {
            Lookup::Serve { live, in_use, .. } => Some(Next::Serve { live, in_use }),
            Lookup::Fail(_) if purpose != Purpose::Token => None,
            Lookup::Fail(error) => Some(Next::Fail(error)),
            Lookup::Fetch => None,
        });
        match joined {
            Joined::Settled(next) => next,
            Joined::Waiting(waiter) => Next::Wait {
                waiter,
                started: false,
            },
            Joined::Started(task, waiter) => match task.spawn(true) {
                Ok(()) => Next::Wait {
                    waiter,
                    started: true,
                },
                Err(error) => Next::Fail(error),
            },
        }
    }

    /// Starts a renewal in the background, unless a fetch is in progress. Outside
    /// a runtime nothing happens: the token in use is still valid.
    fn renew(self: &Arc<Self>) {
        let joined = self.join(
            Requirements::default(),
            Purpose::Token,
            |lookup| match lookup {
                Lookup::Serve { renew: true, .. } => None,
                _ => Some(()),
            },
        );
        if let Joined::Started(task, _) = joined {
            let _ = task.spawn(false);
        }
    }

    /// Asks the fleet's store again in the background, if there is a valid token and no
    /// fetch in progress.
    pub(crate) fn start_rejoin(self: &Arc<Self>) {
        let joined = self.join(
            Requirements::default(),
            Purpose::Rejoin,
            |lookup| match lookup {
                Lookup::Serve { .. } => None,
                _ => Some(()),
            },
        );
        if let Joined::Started(task, _) = joined {
            let _ = task.spawn(false);
        }
    }

    /// Starts a fetch of a token newer than a rejected one, for those who come
    /// next: whoever met the rejection does not wait for it.
    pub(crate) fn renew_rejected(self: &Arc<Self>, generation: u64) {
        let needs = Requirements {
            newer_than: generation,
            ..Requirements::default()
        };
        if Handle::try_current().is_ok() {
            let _ = self.lookup(needs);
        }
    }

    /// Joins the fetch in progress. Starts one if a second lookup, which nobody
    /// can come between, calls for it.
    fn join<R>(
        self: &Arc<Self>,
        needs: Requirements,
        purpose: Purpose,
        settled: impl FnOnce(Lookup) -> Option<R>,
    ) -> Joined<FetchEnd, R, Arc<Shared>, FetchTask> {
        let limit = self.fetch_deadline();
        let wall = self.settings.clock.user_wall();
        let mut begun = Begun::default();
        let joined = self.flight.join(
            || self.clone(),
            || {
                self.with_state_at(wall, |state, now| {
                    state.current_fetch.give_up(now.monotonic)
                })
            },
            || {
                self.with_state_at(wall, |state, now| {
                    let settled = settled(state.lookup(needs, now));
                    if settled.is_none() {
                        begun = state.begin_fetch(needs, now, limit);
                    }
                    settled
                })
            },
        );
        joined.map_driver(|driver| FetchTask {
            shared: self.clone(),
            begun,
            context: FetchContext {
                id: begun.id,
                needs,
                started: Instant::now(),
                purpose,
            },
            driver: Some(driver),
            timer: None,
        })
    }

    /// Ends a fetch for its waiters, and returns how many they were.
    fn end_fetch(&self, driver: Driver<FetchEnd, Arc<Shared>>, outcome: FetchOutcome) -> usize {
        let end = FetchEnd::from(outcome);
        let (at, from) = (end.at, driver.timed_from());
        let mut parked = driver.complete(end);
        let waiters = parked.callers();
        self.gauges.waits_ended(waiters);
        parked.wake();
        if let Some(from) = from {
            let limit = self.settings.wait_timeout;
            let left = parked.left(from, at);
            self.gauges
                .waited(left.map(|left| limit.saturating_sub(left)));
        }
        waiters
    }

    /// Gives up the fetch in progress if it is stalled, and wakes its waiters.
    /// Returns when to look at it again.
    pub(crate) fn give_up_stalled(&self) -> Option<Duration> {
        let wall = self.settings.clock.user_wall();
        self.flight.abandon_if(|| {
            self.with_state_at(wall, |state, now| {
                state.current_fetch.give_up(now.monotonic)
            })
        });
        self.with_state(|state, now| state.current_fetch.remaining(now.monotonic))
    }

    /// A fetch is stalled if it is not heard of for so long.
    pub(crate) fn fetch_deadline(&self) -> Duration {
        let call = self.settings.source_timeout + GRACE;
        match &self.fleet {
            // It waits for others as well, and for the store.
            Some(_) => {
                let store = self.settings.store_timeout * 4 + self.settings.store_connect_timeout;
                call + self.settings.fleet_patience() + store
            }
            None => call,
        }
    }
}

/// The task of a fetch. Dropped before its end, it leaves the cache as if the
/// fetch had not been.
struct FetchTask {
    shared: Arc<Shared>,
    begun: Begun,
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

/// Wakes the waiters of the fetch in progress whose time is over, and gives up one
/// that is stalled. One timer for all of them: to set and to remove one for each
/// would cost more than to wake them.
async fn time_waiters(shared: Arc<Shared>) {
    loop {
        let now = Instant::now();
        let (due, waiters) = shared.flight.wake_due(now);
        // Whoever comes from now on has all of this time.
        let mut until = now + shared.settings.wait_timeout;
        if let Some(stalled) = shared.give_up_stalled() {
            until = until.min(now + stalled);
        }
        until = due.map_or(until, |due| until.min(due));
        // It looks at all of them each time.
        let pace = Duration::from_micros(waiters as u64);
        sleep_until(until.max(now + pace)).await;
    }
}

impl FetchTask {
    /// Gives the fetch a task of its own, so that no caller's leaving ends it. `waited`:
    /// by the caller who started it, and others may come.
    fn spawn(mut self, waited: bool) -> Result<(), TokenError> {
        let runtime = Handle::try_current().map_err(no_runtime)?;
        if let (true, Some(driver)) = (waited, &self.driver) {
            let timer = runtime.spawn(time_waiters(self.shared.clone()));
            self.timer = Some(AbortOnDrop(timer.abort_handle()));
            driver.set_timed_in(runtime.id(), Instant::now());
        }
        let (label, reason) = (self.shared.label.clone(), self.begun.reason);
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
            state.record(self.begun.id, fetched, now, &shared.settings, random)
        });
        if shared.keeps_warm.load(Ordering::Relaxed) {
            background::ensure_keep_warm(&shared);
        }
        session::end_late(&shared);
        fleet_alone::ensure_rejoin(&shared);
        if let (Some(outcome), Some(driver)) = (outcome, self.driver.take()) {
            let summary = FetchSummary {
                reason: self.begun.reason,
                took: self.context.started.elapsed(),
                waiters: shared.end_fetch(driver, outcome.clone()),
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
}

impl FetchTask {
    /// Ends a fetch that has changed nothing. Who waits for it looks again.
    fn end_as_before(mut self) {
        let driver = self.driver.take();
        let live = self.shared.with_state(|state, now| {
            state.abandon(self.begun.id, now);
            state.live.clone()
        });
        if let (Some(live), Some(driver)) = (live, driver) {
            self.shared.end_fetch(driver, Ok(live));
        }
    }
}

impl Drop for FetchTask {
    fn drop(&mut self) {
        if self.driver.is_some() {
            let learned = self
                .shared
                .with_state(|state, now| state.abandon(self.begun.id, now));
            if learned {
                self.shared.emit(&Event::RenewalExclusive);
            }
            let reason = self.begun.reason;
            self.shared.emit(&Event::Abandoned { reason });
        }
    }
}
