//! Fetching: who asks the source, when, and in which task.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::cache::background;
use crate::cache::current::CachedToken;
use crate::cache::settings::Settings;
use crate::cache::shared::{FetchOutcome, Shared, no_runtime};
use crate::cache::single_flight::{Driver, Joined, Waiter};
use crate::cache::state::{Lookup, Requirements};
use crate::error::TokenError;
use crate::telemetry::{self, Event, FetchSummary, Reason};

/// What a caller does next.
pub(crate) enum Next {
    Serve(Arc<CachedToken>),
    Fail(TokenError),
    Wait(Waiter<FetchOutcome>),
}

impl Shared {
    /// The closer look: serves, starts a renewal, or has the caller wait.
    pub(crate) fn lookup(self: &Arc<Self>, needs: Requirements) -> Next {
        match self.with_state(|state, now| state.lookup(needs, now)) {
            Lookup::Serve { live, renew } => {
                if renew {
                    self.renew();
                }
                Next::Serve(live)
            }
            Lookup::Fail(error) => Next::Fail(error),
            Lookup::Fetch => self.fetch(needs),
        }
    }

    fn fetch(self: &Arc<Self>, needs: Requirements) -> Next {
        let joined = self.join(needs, |look| match look {
            Lookup::Serve { live, .. } => Some(Next::Serve(live)),
            Lookup::Fail(error) => Some(Next::Fail(error)),
            Lookup::Fetch => None,
        });
        match joined {
            Joined::Settled(step) => step,
            Joined::Waiting(waiter) => Next::Wait(waiter),
            Joined::Started(task, waiter) => match task.spawn() {
                Ok(()) => Next::Wait(waiter),
                Err(error) => Next::Fail(error),
            },
        }
    }

    /// Starts a renewal in the background, unless one is under way. Outside a
    /// runtime nothing happens: the token in use is still valid.
    fn renew(self: &Arc<Self>) {
        let joined = self.join(Requirements::default(), |look| match look {
            Lookup::Serve { renew: true, .. } => None,
            _ => Some(()),
        });
        if let Joined::Started(task, _) = joined {
            let _ = task.spawn();
        }
    }

    /// Joins the flight under way. Starts one if a second look, which nobody
    /// can come between, is not settled.
    fn join<R>(
        self: &Arc<Self>,
        needs: Requirements,
        settled: impl FnOnce(Lookup) -> Option<R>,
    ) -> Joined<FetchOutcome, R, FetchTask> {
        let limit = self.fetch_deadline();
        let mut started = (0, Reason::default());
        let joined = self.flight.join(
            || self.with_state(|state, now| state.current_fetch.is_stalled(now.monotonic)),
            || {
                self.with_state(|state, now| {
                    let settled = settled(state.lookup(needs, now));
                    if settled.is_none() {
                        started = state.begin_fetch(needs, now, limit);
                    }
                    settled
                })
            },
        );
        joined.map_driver(|driver| FetchTask {
            shared: self.clone(),
            id: started.0,
            reason: started.1,
            since: Instant::now(),
            driver: Some(driver),
        })
    }
}

impl Shared {
    /// After this a flight is lost.
    fn fetch_deadline(&self) -> Duration {
        let Settings {
            source_timeout,
            store_timeout,
            ..
        } = *self.settings;
        // With the refresh token, and with the credentials.
        let asking = source_timeout * 2 + GRACE;
        match &self.fleet {
            Some(_) => asking + source_timeout + store_timeout * 4,
            None => asking,
        }
    }

    /// Waits for a permit. That time does not count as the fetch's own: as long
    /// as the fetch is driven, it is not stalled.
    async fn fetch_permit<'a>(
        &self,
        permits: &'a Semaphore,
        id: u64,
    ) -> Option<SemaphorePermit<'a>> {
        let mut permit = pin!(permits.acquire());
        let limit = self.fetch_deadline();
        loop {
            let acquired = timeout(self.settings.source_timeout, permit.as_mut()).await;
            self.with_state(|state, now| state.current_fetch.extend(id, now.monotonic, limit));
            if let Ok(permit) = acquired {
                // Nobody closes it.
                return permit.ok();
            }
        }
    }
}

/// Beyond the time that a flight may take before it is lost.
const GRACE: Duration = Duration::from_secs(1);

/// The task of a flight. Dropped before its end, it leaves the cache as if the
/// flight had not been.
struct FetchTask {
    shared: Arc<Shared>,
    id: u64,
    reason: Reason,
    since: Instant,
    driver: Option<Driver<FetchOutcome>>,
}

impl FetchTask {
    /// Gives the flight a task of its own, so that no caller's leaving ends it.
    fn spawn(self) -> Result<(), TokenError> {
        let runtime = Handle::try_current().map_err(no_runtime)?;
        let (label, reason) = (self.shared.label.clone(), self.reason);
        runtime.spawn(telemetry::in_span(&label, reason, self.run()));
        Ok(())
    }

    async fn run(mut self) {
        let shared = self.shared.clone();
        let _permit = match &shared.settings.fetch_permits {
            Some(permits) => shared.fetch_permit(permits, self.id).await,
            None => None,
        };
        let fetched = match &shared.fleet {
            Some(fleet) => shared.fetch_in_fleet(fleet).await,
            None => shared.fetch_from_source().await,
        };
        let by = fetched.by;
        let outcome = shared.with_state(|state, now| {
            // The answer to a lost flight is older than what came after it.
            if !state.current_fetch.finish(self.id) {
                return None;
            }
            Some(state.record(fetched, now, &shared.settings, fastrand::f64()))
        });
        background::ensure_clock_watch(&shared);
        if shared.keeps_warm.load(Ordering::Relaxed) {
            background::ensure_keep_warm(&shared);
        }
        if let (Some(outcome), Some(driver)) = (outcome, self.driver.take()) {
            let summary = FetchSummary {
                reason: self.reason,
                took: self.since.elapsed(),
                waiters: driver.complete(outcome.clone()),
            };
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

impl Drop for FetchTask {
    fn drop(&mut self) {
        if self.driver.is_some() {
            self.shared
                .with_state(|state, _| state.current_fetch.finish(self.id));
            let reason = self.reason;
            self.shared.emit(&Event::Abandoned { reason });
        }
    }
}
