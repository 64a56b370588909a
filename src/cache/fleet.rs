//! Fetching as one of a fleet: see [`crate::store`] for the rules.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::cache::clock::Moment;
use crate::cache::codec;
use crate::cache::fleet_lease::Leased;
use crate::cache::in_flight::FetchResult;
use crate::cache::schedule::{Freshness, Schedule};
use crate::cache::settings::FleetMember;
use crate::cache::shared::Shared;
use crate::cache::source_call::FetchContext;
use crate::store::{Acquire, Acquired, Entry};
use crate::telemetry::FetchedBy;

/// How often to call the store while waiting for a change.
const POLL: Duration = Duration::from_secs(1);

/// How many unusable answers count as accidents.
const MOST_UNUSABLE: u32 = 8;

impl Shared {
    /// Returns a token from the store, or from the source under a lease; without a
    /// lease if the store cannot be reached.
    pub(crate) async fn fetch_in_fleet(
        self: &Arc<Self>,
        fleet: &FleetMember,
        context: FetchContext,
    ) -> FetchResult {
        let mut acquire = self.with_state(|state, _| state.acquire(self.settings.lease_duration));
        if let Some(fetched) = self.prepare_source(fleet, acquire, context).await {
            return fetched;
        }
        acquire.credentials = self.source.fingerprint();
        // The holder of the tokens may be known only now.
        let mut changes = fleet.store.changes(&self.store_account(fleet));
        let patience = Instant::now() + self.settings.fleet_patience();
        let (mut unusable, mut waits) = (0, false);
        while unusable < MOST_UNUSABLE {
            changes.mark_unchanged();
            let requested_at = self.settings.clock.now();
            let Some(acquired) = self.acquire_within(fleet, acquire, waits).await else {
                return self.fetch_alone(context).await;
            };
            // What comes later is neither the rejected token nor the ignored
            // failure.
            (acquire.rejected, acquire.ignore_failure) = (false, false);
            match acquired {
                Acquired::Token(entry) => match self.token_from_store(&entry, requested_at) {
                    Some(fetched) => {
                        self.end_own_session();
                        return fetched;
                    }
                    // No process can use it.
                    None => {
                        (acquire.newer_than, acquire.rejected) = (entry.generation, true);
                        unusable += 1;
                    }
                },
                Acquired::Failure(entry) => match self.failure_from_store(&entry, acquire) {
                    Some(fetched) => return fetched,
                    None => {
                        acquire.ignore_failure = true;
                        unusable += 1;
                    }
                },
                Acquired::Lease(lease) => {
                    let leased = Leased::at(lease, self.settings.clock.now());
                    return self.fetch_with_lease(leased, fleet, acquire, context).await;
                }
                Acquired::Busy(left) => {
                    waits = true;
                    let patience = patience.saturating_duration_since(Instant::now());
                    if patience.is_zero() {
                        return self.fetch_alone(context).await;
                    }
                    pause(&mut changes, left.min(patience)).await;
                }
            }
        }
        // Such a store is as good as none.
        self.fetch_alone(context).await
    }

    /// Prepares the source: failures are kept by its credentials, which may be known
    /// only then. If that fails, only a token from the store helps: returns that, or
    /// the failure.
    async fn prepare_source(
        self: &Arc<Self>,
        fleet: &FleetMember,
        mut acquire: Acquire,
        context: FetchContext,
    ) -> Option<FetchResult> {
        self.keep_alive(context, Duration::ZERO);
        let error = self.with_timeout(self.source.prepare()).await.err();
        self.keep_alive(context, Duration::ZERO);
        let Some(error) = error else {
            self.note_tried();
            return None;
        };
        // The credentials that it had last.
        acquire.credentials = self.source.fingerprint();
        if let Some(newer) = self.peek_newer(fleet, acquire).await {
            return Some(newer);
        }
        let mut fetched = FetchResult::new(Err(error), self.settings.clock.now());
        self.draw_pause(&mut fetched, true);
        Some(fetched)
    }

    /// Returns a token of another process while this one may not fetch, or else the
    /// blocking failure.
    pub(crate) async fn peek_in_pause(
        self: &Arc<Self>,
        fleet: &FleetMember,
        context: FetchContext,
    ) -> FetchResult {
        let acquire = Acquire {
            newer_than: self.with_state(|state, _| state.store_generation()),
            ..Acquire::default()
        };
        if let Some(newer) = self.peek_newer(fleet, acquire).await {
            self.end_own_session();
            return newer;
        }
        let now = self.settings.clock.now();
        match self.with_state(|state, _| state.blocking(now.monotonic)) {
            Some(error) => FetchResult {
                pause: error.retry_after(),
                from_memory: true,
                ..FetchResult::new(Err(error), now)
            },
            // The pause is over by now.
            None => self.fetch_in_fleet(fleet, context).await,
        }
    }

    /// Returns what another process has fetched meanwhile. Takes no lease.
    pub(super) async fn peek_newer(
        self: &Arc<Self>,
        fleet: &FleetMember,
        acquire: Acquire,
    ) -> Option<FetchResult> {
        let requested_at = self.settings.clock.now();
        let look = Acquire {
            lease: Duration::ZERO,
            ..acquire
        };
        match self.acquire(fleet, look).await? {
            Acquired::Token(entry) => self.token_from_store(&entry, requested_at),
            _ => None,
        }
    }

    /// Returns another process's token.
    pub(super) fn token_from_store(
        &self,
        entry: &Entry,
        requested_at: Moment,
    ) -> Option<FetchResult> {
        let token = codec::decode_access_token(&entry.payload)?;
        let lifetime = token.lifetime();
        let age = lifetime.map_or(Duration::ZERO, |it| it.saturating_sub(entry.ttl));
        let schedule = Schedule::new(&self.settings, lifetime, 0.0);
        (schedule.freshness(age) != Freshness::Expired).then(|| FetchResult {
            age,
            store_generation: Some(entry.generation),
            by: FetchedBy::Store,
            ..FetchResult::new(Ok(token.into()), requested_at)
        })
    }
}

/// Waits for a change, or for the end of a lease.
pub(crate) async fn pause(changes: &mut watch::Receiver<()>, left: Duration) {
    // A time that is over here is over in the store slightly later.
    let pause = left.clamp(SHORT, POLL);
    if let Ok(Err(_)) = timeout(pause, changes.changed()).await {
        // No change will be notified.
        sleep(pause).await;
    }
}

/// Less than any caller waits.
const SHORT: Duration = Duration::from_millis(5);
