//! Fetching with a lease, and its result.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::cache::clock::Moment;
use crate::cache::codec;
use crate::cache::fleet_store::LONGEST;
use crate::cache::in_flight::FetchResult;
use crate::cache::refresh_token::HeldBy;
use crate::cache::settings::{FleetMember, Settings};
use crate::cache::shared::Shared;
use crate::cache::source_call::FetchContext;
use crate::error::{TokenError, TokenErrorKind};
use crate::store::{Acquire, Completion, Lease, Stored};
use crate::token::{RefreshToken, TokenResponse};

/// A lease, and when it arrived: it began slightly earlier.
pub(super) struct Leased {
    pub(super) lease: Lease,
    at: Moment,
}

impl Leased {
    pub(super) fn at(lease: Lease, at: Moment) -> Self {
        Self { lease, at }
    }

    /// Returns how long after the lease's start something ends that begins at
    /// `start` and lasts for `span`. Never later than it really does, because the
    /// lease began before it arrived.
    pub(super) fn until(&self, start: &Moment, span: Duration) -> Duration {
        // By the clock that stops during suspension: rather too early an end.
        let passed = start.monotonic.saturating_duration_since(self.at.monotonic);
        passed.saturating_add(span)
    }

    /// Returns whether another token request fits into the lease, after this pause.
    fn fits(&self, pause: Duration, settings: &Settings) -> bool {
        let passed = self.at.monotonic.elapsed();
        fits(
            passed,
            pause,
            settings.request_time(),
            settings.lease_duration,
        )
    }
}

fn fits(passed: Duration, pause: Duration, request: Duration, lease: Duration) -> bool {
    passed + pause + request <= lease
}

/// The result of an attempt, or a token that another process has fetched meanwhile.
enum Attempted {
    Fetched(FetchResult),
    Newer(FetchResult),
}

impl Shared {
    /// Fetches under the lease, and completes it.
    pub(super) async fn fetch_with_lease(
        self: &Arc<Self>,
        leased: Leased,
        fleet: &FleetMember,
        acquire: Acquire,
        context: FetchContext,
    ) -> FetchResult {
        let lease = &leased.lease;
        let failure = lease.failure.as_ref().and_then(codec::decode_failure);
        if let Some(failure) = failure {
            // The next pause continues the fleet's count.
            self.adopt_failure(&failure, acquire.credentials, Duration::ZERO);
        }
        let given = lease.refresh_token.as_ref();
        let given = given.and_then(|it| codec::decode_refresh_token(&it.payload, it.ttl));
        // Held from a time when the store was away.
        let own = self.with_state(|state, now| state.refresh.take(now, &self.settings));
        let discard = self.with_state(|state, _| state.take_discard_stored());
        let refresh_token = match (given, own) {
            // The tokens that it yields are rejected.
            (Some(given), own) if discard => {
                self.end_in_background(given);
                own
            }
            (Some(given), Some(own)) => {
                self.end_later(own);
                Some(given)
            }
            (given, own) => given.or(own),
        };
        let attempt = self.attempt_with_lease(&leased, fleet, acquire, context, &refresh_token);
        let mut fetched = match attempt.await {
            Attempted::Newer(newer) => return newer,
            Attempted::Fetched(fetched) => fetched,
        };
        let kept = refresh_token;
        let mut kept = kept.filter(|_| may_be_sent_again(&fetched));
        if let Some(pause) = self.pause_before_retry(context, &fetched)
            && leased.fits(pause, &self.settings)
        {
            self.with_state(|state, now| state.note_failure(&fetched, now));
            self.keep_alive(context, pause);
            sleep(pause).await;
            let attempt = self.attempt_with_lease(&leased, fleet, acquire, context, &kept);
            fetched = match attempt.await {
                Attempted::Newer(newer) => return newer,
                Attempted::Fetched(fetched) => fetched,
            };
            kept = kept.filter(|_| may_be_sent_again(&fetched));
        }
        let lease = &leased.lease;
        let completion = self.completion(&leased, &fetched, kept.as_ref());
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
            // The store has it, or may have it later; until that is known this
            // process is alone.
            None => fetched.alone = fetched.answer.is_ok(),
            Some(false) => {
                // Another holder was quicker: this one's lease is over.
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

    /// Makes one attempt: with the refresh token if there is one, otherwise with the
    /// source's own credentials.
    async fn attempt_with_lease(
        self: &Arc<Self>,
        leased: &Leased,
        fleet: &FleetMember,
        acquire: Acquire,
        context: FetchContext,
        refresh_token: &Option<RefreshToken>,
    ) -> Attempted {
        let Some(refresh_token) = refresh_token else {
            return Attempted::Fetched(self.fetch_with_credentials(context).await);
        };
        let refreshed = self.refresh(context, refresh_token, HeldBy::Lease).await;
        let Some(refreshed) = refreshed else {
            self.end_in_background(refresh_token.clone());
            return Attempted::Fetched(self.fetch_with_credentials(context).await);
        };
        if is_refused(&refreshed)
            && let Some(newer) = self.peek_newer(fleet, acquire).await
        {
            self.complete(fleet, Completion::of(&leased.lease)).await;
            return Attempted::Newer(newer);
        }
        let fetched = self.continue_after_refresh(context, refreshed, refresh_token);
        Attempted::Fetched(fetched.await)
    }

    fn completion(
        &self,
        leased: &Leased,
        fetched: &FetchResult,
        refresh_token: Option<&RefreshToken>,
    ) -> Completion {
        let mut completion = Completion::of(&leased.lease);
        // Lifetimes begin when the request was sent, and the store counts from the
        // lease.
        let left = |lifetime: Duration| leased.until(&fetched.requested_at, lifetime);
        match &fetched.answer {
            Ok(response) => {
                let token = response.access_token();
                let span = token
                    .lifetime()
                    .map_or_else(|| left(self.settings.renew_unknown_lifetime_after), left);
                // A token that came by refresh says nothing about the credentials,
                // so it clears no failure of theirs.
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
                // If the server may have used it up, it is not used again.
                if may_be_sent_again(fetched) {
                    completion.refresh_token =
                        refresh_token.and_then(|token| refresh_entry(token, |life| life));
                }
            }
        }
        completion
    }
}

pub(super) fn refresh_entry(
    token: &RefreshToken,
    left: impl Fn(Duration) -> Duration,
) -> Option<Stored> {
    let ttl = token.lifetime().map_or(LONGEST, left).min(LONGEST);
    codec::encode_refresh_token(token)
        .map(|payload| Stored { payload, ttl })
        .filter(|it| !it.ttl.is_zero())
}

fn is_refused(fetched: &FetchResult) -> bool {
    matches!(&fetched.answer, Err(error) if error.kind() == TokenErrorKind::Refused)
}

/// Returns whether the refresh token of a failed attempt is not used up. That is
/// also so if none was sent, but then there is none.
fn may_be_sent_again(fetched: &FetchResult) -> bool {
    match &fetched.answer {
        Ok(_) => true,
        Err(error) => fetched.is_refreshed() && was_not_processed(error),
    }
}

/// Returns whether nothing was sent, or the server said that it did nothing: too
/// many requests, or not in service.
fn was_not_processed(error: &TokenError) -> bool {
    let put_off = |status: http::StatusCode| matches!(status.as_u16(), 429 | 503);
    error.kind() == TokenErrorKind::ShutDown || error.status().is_some_and(put_off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_request_is_made_only_within_the_lease() {
        let secs = Duration::from_secs_f64;
        for (passed, pause, request, lease, allowed) in [
            (0.0, 0.25, 10.0, 15.0, true),
            (4.75, 0.25, 10.0, 15.0, true),
            (5.0, 0.25, 10.0, 15.0, false),
            (0.0, 6.0, 10.0, 15.0, false),
            (0.0, 0.25, 2.0, 2.0, false),
        ] {
            let [passed, pause, request, lease] = [passed, pause, request, lease].map(secs);
            assert_eq!(
                fits(passed, pause, request, lease),
                allowed,
                "{passed:?} {pause:?}"
            );
        }
    }
}
