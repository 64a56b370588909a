//! What a fetch returned, and what follows from it.

use std::sync::Arc;

use crate::cache::clock::Moment;
use crate::cache::current::CachedToken;
use crate::cache::exclusive::{Uses, may_have_been_processed};
use crate::cache::in_flight::FetchResult;
use crate::cache::refresh_token::{AfterRefresh, HeldBy, after_failed_refresh};
use crate::cache::schedule::{Freshness, Schedule};
use crate::cache::settings::Settings;
use crate::cache::state::{Requirements, State};
use crate::error::{TokenError, TokenErrorKind};
use crate::origins::OriginId;
use crate::telemetry::FetchedBy;
use crate::token::RefreshToken;

impl State {
    /// Withholds the token in use, because the fetch with this id is about to send a
    /// refresh token. Returns the uses to wait for of the token that was last in
    /// use: it may have expired, or been dropped, while requests that carry it are
    /// in flight.
    pub(crate) fn withhold(&mut self, id: u64, now: &Moment) -> Option<Arc<Uses>> {
        if !self.current_fetch.is(id) || !self.rare.exclusivity.withhold() {
            return None;
        }
        self.drop_expired(now);
        let live = self.live.as_ref();
        live.map_or_else(|| self.rare.last_uses.clone(), |live| live.uses.clone())
    }

    /// Records that the fetch with this id sends this refresh token now. Returns
    /// whether it may: not a token that was discarded, replaced or has expired
    /// meanwhile.
    pub(crate) fn start_refresh(
        &mut self,
        id: u64,
        token: &RefreshToken,
        held_by: HeldBy,
        now: &Moment,
        settings: &Settings,
    ) -> bool {
        // An abandoned fetch says nothing about the current state.
        if !self.current_fetch.is(id) {
            return true;
        }
        let is_kept = !self.closed
            && match held_by {
                HeldBy::Cache => {
                    let held = self.refresh.get(now, settings);
                    held.is_some_and(|held| held.secret() == token.secret())
                }
                HeldBy::Lease => !self.take_discard_stored(),
            };
        match is_kept {
            true => {
                self.drop_expired(now);
                let live = self.live.as_ref();
                self.rare
                    .exclusivity
                    .start(live.map(|live| live.generation()));
            }
            false => self.rare.exclusivity.hand_out_again(),
        }
        is_kept
    }

    /// Records that the refresh of the fetch with this id was answered, or failed.
    /// Returns whether renewals have just become exclusive.
    pub(crate) fn refresh_answered(
        &mut self,
        id: u64,
        error: Option<&TokenError>,
        now: &Moment,
    ) -> bool {
        // An abandoned fetch says nothing about the current state.
        if !self.current_fetch.is(id) {
            return false;
        }
        let processed = error.is_none_or(may_have_been_processed);
        let learned = self.rare.exclusivity.answered(processed);
        if error.is_some() {
            // After a failure the token stays in use; otherwise it does until it is
            // replaced.
            self.finish_refresh(now);
        }
        if learned {
            self.count_uses();
        }
        learned
    }

    /// Returns what follows the request with a refresh token that returned this.
    pub(crate) fn after_refresh(
        &mut self,
        refreshed: &FetchResult,
        sent: &RefreshToken,
        needs: Requirements,
        now: &Moment,
        settings: &Settings,
    ) -> AfterRefresh {
        let error = match &refreshed.answer {
            Ok(response) => {
                let schedule = Schedule::new(settings, response.access_token().lifetime(), 0.0);
                let age = now.since(&refreshed.requested_at);
                let left = schedule.expired.map(|expired| expired.saturating_sub(age));
                let too_short = left.is_some_and(|left| left < needs.valid_for);
                let login_lives_longer = self
                    .longest_left
                    .is_none_or(|longest| needs.valid_for <= longest);
                let may_log_in = self
                    .rare
                    .failed_logins
                    .backoff_left(now.monotonic)
                    .is_none();
                return if too_short && login_lives_longer && may_log_in {
                    AfterRefresh::TooShort
                } else {
                    AfterRefresh::Done
                };
            }
            Err(error) => error,
        };
        let count = self.refresh.count_failure();
        let is_served = self.is_served(needs, now);
        let next = after_failed_refresh(error, count, is_served);
        if next == AfterRefresh::LogIn && error.kind() == TokenErrorKind::Refused {
            self.refresh.forget(sent);
        }
        next
    }

    /// Records the result of the fetch with this id. After a failure a token that is
    /// still valid stays. Returns `None` if the fetch was abandoned before.
    pub(crate) fn record(
        &mut self,
        id: u64,
        fetched: FetchResult,
        now: &Moment,
        settings: &Settings,
        random: f64,
    ) -> Option<Result<Arc<CachedToken>, TokenError>> {
        let Some(forced_by) = self.current_fetch.finish(id) else {
            self.record_late(fetched);
            return None;
        };
        self.finish_refresh(now);
        let (pause, memory) = (fetched.pause, fetched.memory.clone());
        let from_memory = fetched.from_memory;
        let recorded = self.record_token(fetched, forced_by, now, settings, random);
        Some(recorded.map_err(|error| {
            let Some(memory) = memory else {
                if from_memory {
                    return error.with_retry_after(pause);
                }
                let drawn = || self.failures.pause(&error, true, settings, random);
                let pause = pause.unwrap_or_else(drawn);
                return self.failures.record(&error, pause, now);
            };
            self.memory = Some(memory);
            error.with_retry_after(pause)
        }))
    }

    /// Ends a refresh, if there was one. Returns whether renewals have just become
    /// exclusive.
    fn finish_refresh(&mut self, now: &Moment) -> bool {
        let rare = self.rare.existing();
        rare.is_some_and(|rare| rare.exclusivity.finish(now.monotonic))
    }

    /// Records that the fetch with this id was dropped before its end. Returns
    /// whether renewals have just become exclusive.
    pub(crate) fn abandon(&mut self, id: u64, now: &Moment) -> bool {
        let is_current = self.current_fetch.finish(id).is_some();
        let learned = is_current && self.finish_refresh(now);
        if learned {
            self.count_uses();
        }
        learned
    }

    /// Counts a failure that does not end its fetch.
    pub(crate) fn note_failure(&mut self, fetched: &FetchResult, now: &Moment) {
        if let (Err(error), Some(pause), None) = (&fetched.answer, fetched.pause, &fetched.memory) {
            self.failures.record(error, pause, now);
        }
    }

    /// Records the late answer to an abandoned fetch. It is older than what came
    /// after it, but a rotated refresh token may be the only one that is still
    /// alive.
    fn record_late(&mut self, fetched: FetchResult) {
        let FetchResult {
            answer,
            requested_at,
            sent,
            ..
        } = fetched;
        if let Some(late) = answer.ok().and_then(|mut it| it.take_refresh_token()) {
            self.refresh.set_late(late, sent.as_ref(), requested_at);
        }
    }

    fn record_token(
        &mut self,
        fetched: FetchResult,
        forced_by: Option<OriginId>,
        now: &Moment,
        settings: &Settings,
        random: f64,
    ) -> Result<Arc<CachedToken>, TokenError> {
        let refreshed = fetched.is_refreshed();
        let FetchResult {
            answer,
            requested_at,
            age,
            store_generation,
            alone,
            by,
            failed_login,
            ..
        } = fetched;
        let (token, refresh) = answer?.into_parts();
        match failed_login {
            Some((error, pause)) => drop(self.rare.failed_logins.record(&error, pause, now)),
            None if by == FetchedBy::Credentials => {
                if let Some(rare) = self.rare.existing() {
                    rare.failed_logins.clear();
                }
            }
            None => {}
        }
        self.invalidated = None;
        if let Some(generation) = store_generation {
            self.rare.store_generation = generation;
        }
        if self.rare.alone != alone {
            self.rare.alone = alone;
        }
        if refreshed {
            self.refresh.count_success();
        }
        // RFC 6749, section 6: without a new one the old one stays in use.
        if refresh.is_some() || !refreshed {
            self.refresh.set(refresh, requested_at);
        }
        let schedule = Schedule::new(settings, token.lifetime(), random).aged(age);
        if schedule.freshness(now.since(&requested_at)) == Freshness::Expired {
            return Err(TokenError::new(
                TokenErrorKind::Expired,
                "the access token had no life left when it arrived",
            ));
        }
        self.generation += 1;
        let token = token.cached(self.generation, requested_at.wall, age);
        let mut live =
            CachedToken::new(token, self.cache_id, requested_at, schedule, by, forced_by);
        if self.striped {
            live = live.striped();
        }
        if self.rare.exclusivity.is_exclusive() {
            live = live.counted();
        }
        if by == FetchedBy::Credentials {
            self.longest_left = live.remaining(now);
        }
        let live = Arc::new(live);
        self.live = Some(live.clone());
        if let Some(rare) = self.rare.existing() {
            (rare.last_uses, rare.suspect) = (None, None);
        }
        self.failures.clear();
        self.memory = None;
        Ok(live)
    }
}
