//! Fetching as one of a fleet: see [`crate::store`] for the rules.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::cache::clock::Moment;
use crate::cache::codec;
use crate::cache::in_flight::FetchResult;
use crate::cache::schedule::{Freshness, Schedule};
use crate::cache::settings::FleetMember;
use crate::cache::shared::Shared;
use crate::cache::source_call::FetchContext;
use crate::error::{TokenError, TokenErrorKind};
use crate::store::{Acquire, Acquired, Completion, Entry, Lease, Stored};
use crate::telemetry::FetchedBy;
use crate::token::{RefreshToken, TokenResponse};

/// How long nobody asks the store again who waits for a change.
const POLL: Duration = Duration::from_secs(1);

/// How often an answer that nobody can use is taken for an accident.
const MOST_UNUSABLE: u32 = 8;

/// How long a store keeps a refresh token that has no fixed end.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 86_400);

impl Shared {
    /// A token from the store, or by a lease from the source; by itself where
    /// the store cannot be asked.
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
        // Whose tokens they are may be known only now.
        let mut changes = fleet.store.changes(&self.store_account(fleet));
        let patience = Instant::now() + self.settings.source_timeout;
        let mut unusable = 0;
        while unusable < MOST_UNUSABLE {
            changes.mark_unchanged();
            let requested_at = self.settings.clock.now();
            let Some(acquired) = self.acquire(fleet, acquire).await else {
                return self.fetch_from_source(context).await;
            };
            // What comes later is not what was rejected or pardoned.
            (acquire.rejected, acquire.ignore_failure) = (false, false);
            match acquired {
                Acquired::Token(entry) => match self.token_from_store(&entry, requested_at) {
                    Some(fetched) => return fetched,
                    // Nobody can use it.
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
                    let patience = patience.saturating_duration_since(Instant::now());
                    if patience.is_zero() {
                        return self.fetch_from_source(context).await;
                    }
                    pause(&mut changes, left.min(patience)).await;
                }
            }
        }
        // Such a store is as good as none.
        self.fetch_from_source(context).await
    }

    /// Makes the source ready: failures are kept by its credentials, which may be
    /// known only then. If that fails, nothing but a token from the store is of use:
    /// returns that, or the failure.
    async fn prepare_source(
        self: &Arc<Self>,
        fleet: &FleetMember,
        mut acquire: Acquire,
        context: FetchContext,
    ) -> Option<FetchResult> {
        self.keep_alive(context, Duration::ZERO);
        let error = self.with_timeout(self.source.prepare()).await.err();
        self.keep_alive(context, Duration::ZERO);
        let error = error?;
        // Those that it had last.
        acquire.credentials = self.source.fingerprint();
        if let Some(newer) = self.peek_newer(fleet, acquire).await {
            return Some(newer);
        }
        let mut fetched = FetchResult::new(Err(error), self.settings.clock.now());
        self.draw_pause(&mut fetched, true);
        Some(fetched)
    }

    /// By the lease, and settles it.
    async fn fetch_with_lease(
        self: &Arc<Self>,
        leased: Leased,
        fleet: &FleetMember,
        acquire: Acquire,
        context: FetchContext,
    ) -> FetchResult {
        let lease = &leased.lease;
        let failure = lease.failure.as_ref().and_then(codec::decode_failure);
        if let Some(failure) = failure {
            // The next pause goes on from what the fleet has counted.
            self.adopt_failure(&failure, acquire.credentials, Duration::ZERO);
        }
        let given = lease.refresh_token.as_ref();
        let given = given.and_then(|it| codec::decode_refresh_token(&it.payload, it.ttl));
        // From a time when the store was away.
        let own = self.with_state(|state, now| state.refresh.take(now, &self.settings));
        let discard = self.with_state(|state, _| state.take_discard_stored());
        let refresh_token = match (given, own) {
            // What it yields is rejected.
            (Some(given), own) if discard => {
                self.end_in_background(given);
                own
            }
            (Some(given), Some(own)) => {
                self.end_in_background(own);
                Some(given)
            }
            (given, own) => given.or(own),
        };
        let mut fetched = match &refresh_token {
            Some(refresh_token) => {
                let refreshed = self.refresh(context, refresh_token).await;
                if is_refused(&refreshed)
                    && let Some(newer) = self.peek_newer(fleet, acquire).await
                {
                    self.complete(fleet, Completion::of(lease)).await;
                    return newer;
                }
                self.continue_after_refresh(context, refreshed, refresh_token)
                    .await
            }
            None => self.fetch_with_credentials(context).await,
        };
        let completion = self.completion(&leased, &fetched, refresh_token.as_ref());
        let written = self.complete(fleet, completion).await;
        // It is the store's now, or may be: a store that did not answer may have
        // written it.
        let left_over = fetched
            .answer
            .as_mut()
            .ok()
            .and_then(TokenResponse::take_refresh_token);
        match written {
            Some(true) => {
                fetched.store_generation = fetched.answer.is_ok().then_some(lease.generation)
            }
            None => {}
            Some(false) => {
                // Another holder was quicker than this one, whose lease is over.
                if let Some(newer) = self.peek_newer(fleet, acquire).await {
                    if let Some(refresh_token) = left_over {
                        self.end_in_background(refresh_token);
                    }
                    return newer;
                }
            }
        }
        fetched
    }

    /// What somebody else has fetched meanwhile. Takes no lease.
    async fn peek_newer(
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

    fn completion(
        &self,
        leased: &Leased,
        fetched: &FetchResult,
        refresh_token: Option<&RefreshToken>,
    ) -> Completion {
        let mut completion = Completion::of(&leased.lease);
        // Lives begin when the request left, and the store counts from the lease.
        let left = |lifetime: Duration| leased.until(&fetched.requested_at, lifetime);
        match &fetched.answer {
            Ok(response) => {
                let token = response.access_token();
                let span = token
                    .lifetime()
                    .map_or_else(|| left(self.settings.renew_unknown_lifetime_after), left);
                // A token that came by refresh says nothing of the credentials: it
                // ends no failure of theirs.
                if !fetched.is_refreshed() {
                    completion.credentials = self.source.fingerprint();
                }
                completion.token = codec::encode_access_token(token)
                    .map(|payload| Stored { payload, ttl: span })
                    .filter(|it| !it.ttl.is_zero());
                // RFC 6749, section 6: the old one stays in use.
                let old = refresh_token.filter(|_| fetched.is_refreshed());
                completion.refresh_token = match (response.refresh_token(), old) {
                    (Some(new), _) => refresh_entry(new, left),
                    (None, Some(old)) => refresh_entry(old, |life| life),
                    (None, None) => None,
                };
            }
            Err(error) => {
                let (credentials, failure) = self.shared_failure(error, fetched);
                completion.credentials = credentials;
                completion.failure = codec::encode_failure(&failure)
                    .zip(fetched.pause)
                    .map(|(payload, pause)| Stored {
                        payload,
                        ttl: leased.until(&self.settings.clock.now(), pause),
                    })
                    .filter(|it| !it.ttl.is_zero());
                // Where the server may have used it up it is not used again.
                if fetched.is_refreshed() && was_not_processed(error) {
                    completion.refresh_token =
                        refresh_token.and_then(|token| refresh_entry(token, |life| life));
                }
            }
        }
        completion
    }

    /// Another process's token.
    fn token_from_store(&self, entry: &Entry, requested_at: Moment) -> Option<FetchResult> {
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

/// A lease, and when it arrived: it began a little earlier.
pub(super) struct Leased {
    pub(super) lease: Lease,
    at: Moment,
}

impl Leased {
    pub(super) fn at(lease: Lease, at: Moment) -> Self {
        Self { lease, at }
    }

    /// How long after the lease's start something ends that begins at `start` and
    /// lasts for `span`. Never later than it does, for the lease began before it
    /// arrived.
    pub(super) fn until(&self, start: &Moment, span: Duration) -> Duration {
        // By the clock that stands still with the machine: rather too early an end.
        let passed = start.monotonic.saturating_duration_since(self.at.monotonic);
        passed.saturating_add(span)
    }
}

/// Waits for a change, or for the end of a lease.
pub(crate) async fn pause(changes: &mut watch::Receiver<()>, left: Duration) {
    // What is over by now is over in the store a little later.
    let pause = left.clamp(SHORT, POLL);
    if let Ok(Err(_)) = timeout(pause, changes.changed()).await {
        // Nobody tells.
        sleep(pause).await;
    }
}

/// Less than anybody waits for.
const SHORT: Duration = Duration::from_millis(5);

fn refresh_entry(token: &RefreshToken, left: impl Fn(Duration) -> Duration) -> Option<Stored> {
    let ttl = token.lifetime().map_or(LONGEST, left).min(LONGEST);
    codec::encode_refresh_token(token)
        .map(|payload| Stored { payload, ttl })
        .filter(|it| !it.ttl.is_zero())
}

fn is_refused(fetched: &FetchResult) -> bool {
    matches!(&fetched.answer, Err(error) if error.kind() == TokenErrorKind::Refused)
}

/// Nothing was sent, or the server said that it did nothing: too many requests, or not in service.
fn was_not_processed(error: &TokenError) -> bool {
    let put_off = |status: http::StatusCode| matches!(status.as_u16(), 429 | 503);
    error.kind() == TokenErrorKind::ShutDown || error.status().is_some_and(put_off)
}
