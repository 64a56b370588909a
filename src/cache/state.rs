//! What the cache knows, and what follows from it: the token in use, the refresh
//! token, failures and rejections. No I/O and no lock: times and random numbers
//! come from the caller.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::clock::Moment;
use crate::cache::credentials::CredentialMemory;
use crate::cache::current::CachedToken;
use crate::cache::exclusive::{Exclusivity, InUse, Renewal, Uses};
use crate::cache::failures::Failures;
use crate::cache::in_flight::{CurrentFetch, FetchResult};
use crate::cache::refresh_token::{AfterRefresh, HeldRefreshToken, after_failed_refresh};
use crate::cache::rejections::{Rejected, Rejections};
use crate::cache::schedule::{Freshness, Schedule};
use crate::cache::settings::Settings;
use crate::cache::shared::shut_down;
use crate::error::{TokenError, TokenErrorKind};
use crate::origins::OriginId;
use crate::store::Acquire;
use crate::telemetry::{FetchedBy, Reason};
use crate::token::{AccessToken, RefreshToken};

/// What a caller needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requirements {
    /// A generation above this one.
    pub(crate) newer_than: u64,
    /// This much life left.
    pub(crate) valid_for: Duration,
}

/// What a caller gets at once.
#[derive(Debug)]
pub(crate) enum Lookup {
    Serve {
        live: Arc<CachedToken>,
        in_use: Option<InUse>,
        /// A renewal in the background is called for.
        renew: bool,
    },
    Fail(TokenError),
    /// Nothing: join a fetch, or start one.
    Fetch,
}

/// What a rejection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// A newer token is there or may be fetched.
    Renew,
    /// Renewing did not help lately.
    RenewalBackedOff,
}

/// What is known of a fetch that begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Begun {
    pub(crate) id: u64,
    pub(crate) reason: Reason,
}

/// What is to be given up at the server.
pub(crate) type Tokens = (Option<AccessToken>, Option<RefreshToken>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) live: Option<Arc<CachedToken>>,
    pub(crate) refresh: HeldRefreshToken,
    generation: u64,
    /// Failures that this cache alone remembers.
    pub(crate) failures: Failures,
    /// Failures of logins for a token that lives longer than those that come by
    /// the refresh token.
    pub(crate) failed_logins: Failures,
    /// Failures of the credentials, which all caches with the same remember.
    memory: Option<Arc<CredentialMemory>>,
    rejections: Rejections,
    /// The generation that was rejected last, and where.
    suspect: Option<(u64, OriginId)>,
    pub(crate) current_fetch: CurrentFetch,
    exclusivity: Exclusivity,
    /// The generation of the last token that came from the fleet's store, or
    /// went there.
    store_generation: u64,
    /// The refresh token in the fleet's store is not to be used.
    discard_stored: bool,
    /// Why the last token was given up before its time.
    invalidated: Option<Reason>,
    /// What was left of the last token of a login when it arrived; `None` if it
    /// has no known end.
    longest_left: Option<Duration>,
    /// Failures before this do not count, not those of the fleet either.
    ignore_failures: bool,
    /// Why the fleet's store could not be asked.
    pub(crate) store_error: Option<TokenError>,
    /// Shut down: no more fetches, no more tokens.
    closed: bool,
    /// Tokens whose session a shutdown could not end.
    unended: Option<Box<Tokens>>,
    /// Many threads are expected to send the same token.
    striped: bool,
    cache_id: u64,
}

impl State {
    pub(crate) fn new(cache_id: u64, settings: &Settings) -> Self {
        Self {
            cache_id,
            striped: settings.many_threads,
            exclusivity: Exclusivity::new(settings.renewal),
            ..Self::default()
        }
    }

    pub(crate) fn lookup(&mut self, needs: Requirements, now: &Moment) -> Lookup {
        if self.closed {
            return Lookup::Fail(shut_down());
        }
        self.drop_expired(now);
        let handed_out = self
            .live
            .as_ref()
            .filter(|_| !self.exclusivity.is_withheld());
        if let Some(live) = handed_out.filter(|it| suffices(it, needs, now)) {
            let renew = live.freshness(now) == Freshness::Due
                && !self.is_fetching(now.monotonic)
                && self.backoff_left(now.monotonic).is_none();
            return Lookup::Serve {
                live: live.clone(),
                in_use: live.uses.as_ref().map(InUse::new),
                renew,
            };
        }
        if self.is_fetching(now.monotonic) {
            return Lookup::Fetch;
        }
        // Before failures: those say nothing of a token that nobody can have.
        if self.live.is_some() && self.longest_left.is_some_and(|left| needs.valid_for > left) {
            return Lookup::Fail(lives_too_short());
        }
        let longer = self.live.is_some() && !needs.valid_for.is_zero();
        let failed_login = longer.then(|| self.failed_logins.blocking(now.monotonic));
        match failed_login
            .flatten()
            .or_else(|| self.blocking(now.monotonic))
        {
            Some(error) => Lookup::Fail(error),
            None => Lookup::Fetch,
        }
    }

    fn drop_expired(&mut self, now: &Moment) {
        self.live
            .take_if(|live| live.freshness(now) == Freshness::Expired);
    }

    /// Whether there is a token for these needs.
    pub(crate) fn is_served(&mut self, needs: Requirements, now: &Moment) -> bool {
        self.drop_expired(now);
        let live = self.live.as_ref();
        live.is_some_and(|live| suffices(live, needs, now))
    }

    /// Begins a fetch, which is stalled if it is not heard of for `limit`.
    pub(crate) fn begin_fetch(
        &mut self,
        needs: Requirements,
        now: &Moment,
        limit: Duration,
    ) -> Begun {
        let forced_by = match (&self.live, self.suspect) {
            (Some(live), Some((suspect, origin)))
                if suspect == live.generation() && needs.newer_than >= suspect =>
            {
                Some(origin)
            }
            _ => None,
        };
        let reason = match (&self.live, self.invalidated) {
            (Some(_), _) if forced_by.is_some() => Reason::Rejected,
            (Some(_), _) if !needs.valid_for.is_zero() => Reason::Short,
            (Some(_), _) => Reason::Due,
            (None, Some(reason)) => reason,
            (None, None) if self.generation == 0 => Reason::Cold,
            (None, None) => Reason::Expired,
        };
        let id = self.current_fetch.begin(now.monotonic, limit, forced_by);
        Begun { id, reason }
    }

    pub(crate) fn is_fetching(&self, now: Instant) -> bool {
        self.current_fetch.remaining(now).is_some()
    }

    /// The failure that keeps the next fetch from being made.
    fn blocking(&self, now: Instant) -> Option<TokenError> {
        let shared = self.memory.as_ref().and_then(|it| it.blocking(now));
        shared.or_else(|| self.failures.blocking(now))
    }

    /// How long the next fetch has to wait.
    pub(crate) fn backoff_left(&self, now: Instant) -> Option<Duration> {
        self.blocking(now)?.retry_after()
    }

    pub(crate) fn last_error(&self) -> Option<TokenError> {
        let memory = self.memory.as_ref();
        memory
            .and_then(|it| it.with_failures(|failures| failures.last_error().cloned()))
            .or_else(|| self.failures.last_error().cloned())
    }

    /// Whether the credentials were refused.
    pub(crate) fn is_refused(&self) -> bool {
        let memory = self.memory.as_ref();
        memory.is_some_and(|it| it.with_failures(|failures| failures.is_refused()))
            || self.failures.is_refused()
    }

    /// For how long nothing changes by itself for the token in use, so that no
    /// request has to make a lookup. Zero while a success would change something.
    pub(crate) fn quiet_for(&self, now: &Moment) -> Duration {
        let Some(live) = self.live.as_ref().filter(|_| !self.closed) else {
            return Duration::ZERO;
        };
        if self.rejections.wants_success()
            || !self.is_proven(live)
            || self.exclusivity.is_exclusive()
        {
            return Duration::ZERO;
        }
        let age = now.since(&live.requested_at);
        let until = |at: Duration| at.saturating_sub(age);
        let end = live.schedule.expired.map_or(Duration::MAX, until);
        match live.schedule.freshness(age) {
            Freshness::Fresh => until(live.schedule.due).min(end),
            Freshness::Due => {
                let fetching = self.current_fetch.remaining(now.monotonic);
                let backoff = || self.backoff_left(now.monotonic);
                fetching.or_else(backoff).unwrap_or_default().min(end)
            }
            Freshness::Expired => Duration::ZERO,
        }
    }

    /// Whether a success of this token would say nothing new.
    fn is_proven(&self, live: &CachedToken) -> bool {
        let generation = live.generation();
        let renewal_helped = |origin: OriginId| self.rejections.has_accepted(origin, generation);
        live.forced_by.is_none_or(renewal_helped)
            && (live.by != FetchedBy::RefreshToken || self.rejections.take_refreshed())
    }

    /// What to ask the fleet's store for.
    pub(crate) fn acquire(&mut self, lease: Duration) -> Acquire {
        let suspected = matches!((&self.live, self.suspect),
            (Some(live), Some((suspect, _))) if live.generation() == suspect);
        Acquire {
            newer_than: self.store_generation,
            rejected: self.invalidated.is_some() || suspected,
            ignore_failure: std::mem::take(&mut self.ignore_failures),
            lease,
            ..Acquire::default()
        }
    }

    /// Whether the refresh token in the fleet's store is to be left unused.
    pub(crate) fn take_discard_stored(&mut self) -> bool {
        std::mem::take(&mut self.discard_stored)
    }

    /// Records the result of the fetch with this id. After a failure a token that
    /// is still valid stays. `None` if the fetch was given up before.
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
        self.exclusivity.finish(now.monotonic);
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

    /// The fetch with this id was dropped before its end.
    pub(crate) fn abandon(&mut self, id: u64, now: &Moment) {
        if self.current_fetch.finish(id).is_some() {
            self.exclusivity.finish(now.monotonic);
        }
    }

    /// Counts a failure that is not the end of its fetch.
    pub(crate) fn note_failure(&mut self, fetched: &FetchResult, now: &Moment) {
        if let (Err(error), Some(pause), None) = (&fetched.answer, fetched.pause, &fetched.memory) {
            self.failures.record(error, pause, now);
        }
    }

    /// The answer to a fetch that was given up is older than what came after it,
    /// but a rotated refresh token may be the only one that is still alive.
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
            by,
            failed_login,
            ..
        } = fetched;
        let (token, refresh) = answer?.into_parts();
        match failed_login {
            Some((error, pause)) => drop(self.failed_logins.record(&error, pause, now)),
            None if by == FetchedBy::Credentials => self.failed_logins.clear(),
            None => {}
        }
        self.invalidated = None;
        self.store_generation = store_generation.unwrap_or(self.store_generation);
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
        if self.exclusivity.is_exclusive() {
            live = live.counted();
        }
        if by == FetchedBy::Credentials {
            self.longest_left = live.remaining(now);
        }
        let live = Arc::new(live);
        self.live = Some(live.clone());
        self.suspect = None;
        self.failures.clear();
        self.memory = None;
        Ok(live)
    }

    /// A refresh token is about to be sent. Returns the uses to be waited for of
    /// the token in use.
    pub(crate) fn start_refresh(&mut self, now: &Moment) -> Option<Arc<Uses>> {
        self.drop_expired(now);
        let live = self.live.as_ref();
        let generation = live.map(|live| live.generation());
        self.exclusivity.start(generation);
        live.filter(|_| self.exclusivity.is_withheld())?
            .uses
            .clone()
    }

    /// How tokens are renewed, as far as it is known.
    pub(crate) fn renewal(&self) -> Renewal {
        match self.exclusivity.is_exclusive() {
            true => Renewal::Exclusive,
            false => Renewal::Automatic,
        }
    }

    pub(crate) fn finish_refresh(&mut self, now: &Moment) {
        self.exclusivity.finish(now.monotonic);
    }

    /// Learns from a rejection how the server renews. Tells whether renewals are
    /// exclusive from now on.
    pub(crate) fn learn_renewal(&mut self, generation: u64, now: &Moment) -> bool {
        let exclusive = self.exclusivity.rejected(generation, now.monotonic);
        if exclusive {
            self.live = self.live.take().map(|live| Arc::new(live.recounted()));
        }
        exclusive
    }

    /// What follows the request with a refresh token that brought this.
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
                let may_log_in = self.failed_logins.backoff_left(now.monotonic).is_none();
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

    /// An API rejected this generation at `origin`. Others go on with the token,
    /// until there is a newer one or it is rejected for them too.
    pub(crate) fn rejected(
        &mut self,
        generation: u64,
        origin: OriginId,
        replayed: bool,
        now: &Moment,
        settings: &Settings,
    ) -> Rejection {
        let Some(live) = self
            .live
            .as_ref()
            .filter(|live| live.generation() == generation)
        else {
            return Rejection::Renew;
        };
        let token = Rejected {
            generation,
            forced_by: live.forced_by,
            refreshed: live.by == FetchedBy::RefreshToken,
            replayed,
        };
        let backoff = &settings.rejection_backoff;
        let verdict = self
            .rejections
            .rejected(origin, token, now.monotonic, backoff);
        if verdict.log_in {
            self.refresh.discard();
            self.discard_stored = true;
        }
        if !verdict.renew {
            return Rejection::RenewalBackedOff;
        }
        self.suspect = Some((generation, origin));
        Rejection::Renew
    }

    /// An API accepted a request with this generation at `origin`.
    pub(crate) fn accepted(&mut self, generation: u64, origin: OriginId, replayed: bool) {
        let Some(live) = self
            .live
            .as_ref()
            .filter(|live| live.generation() == generation)
        else {
            return;
        };
        let refreshed = live.by == FetchedBy::RefreshToken;
        let helped = replayed && live.forced_by == Some(origin);
        self.rejections
            .accepted(origin, generation, refreshed, helped);
    }

    pub(crate) fn rejection_backoff(&self, now: Instant) -> Option<Duration> {
        self.rejections.backoff_left(now)
    }

    /// Gives up the token in use.
    pub(crate) fn invalidate(&mut self) {
        self.live = None;
        self.invalidated = Some(Reason::Invalidated);
    }

    /// Hands out what is to be given up at the server, and keeps none of it.
    /// `None` while a fetch is in progress, which brings more.
    pub(crate) fn take_tokens(&mut self, now: &Moment, settings: &Settings) -> Option<Tokens> {
        if self.is_fetching(now.monotonic) {
            return None;
        }
        self.drop_expired(now);
        let refresh = self.refresh.take(now, settings);
        self.invalidated = Some(Reason::Invalidated);
        let live = self.live.take();
        Some((live.map(|live| live.token.clone()), refresh))
    }

    /// Keeps tokens whose session could not be ended, once the cache was shut down.
    pub(crate) fn keep_unended(&mut self, tokens: Tokens) {
        if self.closed && (tokens.0.is_some() || tokens.1.is_some()) {
            self.unended = Some(Box::new(tokens));
        }
    }

    pub(crate) fn take_unended(&mut self) -> Option<Tokens> {
        self.unended.take().map(|tokens| *tokens)
    }

    /// No token leaves from now on.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Forgets all failures and rejections.
    pub(crate) fn reset(&mut self) {
        self.failures.clear();
        self.failed_logins.clear();
        self.memory = None;
        self.ignore_failures = true;
        self.rejections.clear();
    }
}

/// Whether a valid token is what a caller needs.
fn suffices(live: &CachedToken, needs: Requirements, now: &Moment) -> bool {
    live.generation() > needs.newer_than
        && live
            .remaining(now)
            .is_none_or(|left| needs.valid_for <= left)
}

/// The answer to a caller who needs more life than a new token has.
fn lives_too_short() -> TokenError {
    TokenError::new(
        TokenErrorKind::Config,
        "the tokens of this source do not live as long as was asked for",
    )
}
