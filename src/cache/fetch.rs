//! Fetching: who asks the source, when, and in which task.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::cache::flight::{Driver, Joined, Waiter};
use crate::cache::gate::{Gate, Pass};
use crate::cache::ledger::{Look, Want};
use crate::cache::sentry;
use crate::cache::settings::Settings;
use crate::cache::shared::{Outcome, Shared, no_runtime};
use crate::cache::state::Live;
use crate::error::TokenError;
use crate::events::{self, Event, Flown, Reason};

/// What a caller does next.
pub(crate) enum Step {
    Serve(Arc<Live>),
    Fail(TokenError),
    Wait(Waiter<Outcome>),
}

impl Shared {
    /// The closer look: serves, starts a renewal, or has the caller wait.
    pub(crate) fn look(self: &Arc<Self>, want: Want) -> Step {
        match self.with_ledger(|ledger, now| ledger.look(want, now)) {
            Look::Serve { live, renew } => {
                if renew {
                    self.renew();
                }
                Step::Serve(live)
            }
            Look::Fail(error) => Step::Fail(error),
            Look::Fetch => self.fetch(want),
        }
    }

    fn fetch(self: &Arc<Self>, want: Want) -> Step {
        let joined = self.join(want, |look| match look {
            Look::Serve { live, .. } => Some(Step::Serve(live)),
            Look::Fail(error) => Some(Step::Fail(error)),
            Look::Fetch => None,
        });
        match joined {
            Joined::Settled(step) => step,
            Joined::Waiting(waiter) => Step::Wait(waiter),
            Joined::Started(pilot, waiter) => match pilot.take_off() {
                Ok(()) => Step::Wait(waiter),
                Err(error) => Step::Fail(error),
            },
        }
    }

    /// Starts a renewal in the background, unless one is under way. Outside a
    /// runtime nothing happens: the token in use is still valid.
    fn renew(self: &Arc<Self>) {
        let joined = self.join(Want::default(), |look| match look {
            Look::Serve { renew: true, .. } => None,
            _ => Some(()),
        });
        if let Joined::Started(pilot, _) = joined {
            let _ = pilot.take_off();
        }
    }

    /// Joins the flight under way. Starts one if a second look, which nobody
    /// can come between, is not settled.
    fn join<R>(
        self: &Arc<Self>,
        want: Want,
        settled: impl FnOnce(Look) -> Option<R>,
    ) -> Joined<Outcome, R, Pilot> {
        let limit = self.longest_flight();
        let mut takeoff = (0, Reason::default());
        let joined = self.flight.join(
            || self.with_ledger(|ledger, now| ledger.flying.is_lost(now.monotonic)),
            || {
                self.with_ledger(|ledger, now| {
                    let settled = settled(ledger.look(want, now));
                    if settled.is_none() {
                        takeoff = ledger.take_off(want, now, limit);
                    }
                    settled
                })
            },
        );
        joined.map_driver(|driver| Pilot {
            shared: self.clone(),
            number: takeoff.0,
            reason: takeoff.1,
            since: Instant::now(),
            driver: Some(driver),
        })
    }
}

impl Shared {
    /// After this a flight is lost.
    fn longest_flight(&self) -> Duration {
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

    /// Waits at the gate. That time is none of the flight's own: as long as
    /// somebody drives it, it is not lost.
    async fn pass<'a>(&self, gate: &'a Gate, number: u64) -> Pass<'a> {
        let mut pass = pin!(gate.pass());
        let limit = self.longest_flight();
        loop {
            let passed = timeout(self.settings.source_timeout, pass.as_mut()).await;
            self.with_ledger(|ledger, now| ledger.flying.extend(number, now.monotonic, limit));
            if let Ok(passed) = passed {
                return passed;
            }
        }
    }
}

/// Beyond the time that a flight may take before it is lost.
const GRACE: Duration = Duration::from_secs(1);

/// The task of a flight. Dropped before its end, it leaves the cache as if the
/// flight had not been.
struct Pilot {
    shared: Arc<Shared>,
    number: u64,
    reason: Reason,
    since: Instant,
    driver: Option<Driver<Outcome>>,
}

impl Pilot {
    /// Gives the flight a task of its own, so that no caller's leaving ends it.
    fn take_off(self) -> Result<(), TokenError> {
        let runtime = Handle::try_current().map_err(no_runtime)?;
        let (label, reason) = (self.shared.label.clone(), self.reason);
        runtime.spawn(events::in_span(&label, reason, self.fly()));
        Ok(())
    }

    async fn fly(mut self) {
        let shared = self.shared.clone();
        let _permit = match &shared.settings.gate {
            Some(gate) => Some(shared.pass(gate, self.number).await),
            None => None,
        };
        let brought = match &shared.fleet {
            Some(fleet) => shared.ask_in(fleet).await,
            None => shared.ask().await,
        };
        let Settings {
            windows, backoff, ..
        } = &*shared.settings;
        let by = brought.by;
        let outcome = shared.with_ledger(|ledger, now| {
            // The answer to a lost flight is older than what came after it.
            if !ledger.flying.touch_down(self.number) {
                return None;
            }
            Some(ledger.enter(brought, now, windows, backoff, fastrand::f64()))
        });
        sentry::ensure(&shared);
        let keeper = shared
            .keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ensure;
        if let Some(ensure) = keeper {
            ensure(&shared);
        }
        if let (Some(outcome), Some(driver)) = (outcome, self.driver.take()) {
            let flown = Flown {
                reason: self.reason,
                took: self.since.elapsed(),
                waiters: driver.land(outcome.clone()),
            };
            shared.changes.tell();
            shared.tell(&match &outcome {
                Ok(live) => Event::Fetched {
                    flown,
                    generation: live.generation(),
                    by,
                    valid_for: live.plan.expired,
                },
                Err(error) => Event::Failed { flown, error },
            });
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if self.driver.is_some() {
            self.shared
                .with_ledger(|ledger, _| ledger.flying.touch_down(self.number));
            let reason = self.reason;
            self.shared.tell(&Event::Abandoned { reason });
        }
    }
}
