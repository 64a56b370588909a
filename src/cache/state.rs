//! What the cache knows and decides: the token in use, the refresh token, failures
//! and rejections. No I/O and no lock; times and random numbers come from the
//! caller.

mod fetched;
mod fleet;
mod rare;
mod refused;
mod rejected;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::clock::{CoarseTime, Moment};
use crate::cache::credentials::CredentialMemory;
use crate::cache::current::CachedToken;
use crate::cache::exclusive::{Exclusivity, InUse, Renewal, Uses};
use crate::cache::failures::Failures;
use crate::cache::in_flight::CurrentFetch;
use crate::cache::refresh_token::HeldRefreshToken;
use crate::cache::schedule::Freshness;
use crate::cache::settings::Settings;
use crate::error::{TokenError, TokenErrorKind};
use crate::origins::OriginId;
use crate::telemetry::{FetchedBy, Reason};
use crate::token::{AccessToken, RefreshToken};

use self::rare::OnDemand;

/// What a caller needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// A generation above this one.
    pub(crate) newer_than: u64,
    /// At least this much remaining life.
    pub(crate) valid_for: Duration,
}

impl Requirements {
    /// Returns whether this token suffices, without a lookup.
    pub(crate) fn are_met_fast_by(&self, live: &CachedToken) -> bool {
        live.generation() > self.newer_than
            && self.valid_for.is_zero()
            && live.is_fast_at(CoarseTime::now())
    }
}

/// What a caller gets at once.
#[derive(Debug)]
pub(crate) enum Lookup {
    Serve {
        live: Arc<CachedToken>,
        in_use: Option<InUse>,
        /// Whether a background renewal is needed.
        renew: bool,
    },
    Fail(TokenError),
    /// Nothing: join a fetch, or start one.
    Fetch,
}

pub(crate) fn shut_down() -> TokenError {
    let what = "the token cache was shut down";
    TokenError::new(TokenErrorKind::ShutDown, what)
}

/// What follows from a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// A newer token is there, or may be fetched.
    Renew,
    /// Renewing did not help recently.
    RenewalBackedOff,
}

/// What is known of a fetch that begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Begun {
    pub(crate) id: u64,
    pub(crate) reason: Reason,
}

/// The tokens to revoke.
pub(crate) type Tokens = (Option<AccessToken>, Option<RefreshToken>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) live: Option<Arc<CachedToken>>,
    pub(crate) refresh: HeldRefreshToken,
    generation: u64,
    /// Failures that only this cache remembers.
    pub(crate) failures: Failures,
    /// Failures of the credentials, which all caches with the same credentials
    /// remember.
    memory: Option<Arc<CredentialMemory>>,
    pub(crate) current_fetch: CurrentFetch,
    pub(crate) rare: OnDemand,
    /// Why the last token was dropped early.
    invalidated: Option<Reason>,
    /// The remaining life of the last login's token on arrival; `None` if it has no
    /// known end.
    longest_left: Option<Duration>,
    /// Whether failures before this, including the fleet's, do not count.
    ignore_failures: bool,
    /// Whether the cache was shut down: no more fetches, no more tokens.
    closed: bool,
    /// Whether many threads are expected to send the same token.
    striped: bool,
    /// Whether copies of the token in use exist, to be dropped when it changes.
    #[cfg(feature = "accounts")]
    pub(crate) has_hot_token: bool,
    cache_id: u64,
}

impl State {
    pub(crate) fn new(cache_id: u64, settings: &Settings) -> Self {
        let mut rare = OnDemand::default();
        if settings.renewal != Renewal::default() {
            rare.exclusivity = Exclusivity::new(settings.renewal);
        }
        Self {
            cache_id,
            striped: settings.many_threads,
            rare,
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
            .filter(|_| !self.rare.exclusivity.is_withheld());
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
        // Before failures, which do not matter for a token that cannot exist.
        if self.live.is_some() && self.longest_left.is_some_and(|left| needs.valid_for > left) {
            return Lookup::Fail(lives_too_short());
        }
        match self.blocking_for(needs, now.monotonic) {
            Some(error) => Lookup::Fail(error),
            None => Lookup::Fetch,
        }
    }

    /// Returns the failure that prevents a fetch for these needs.
    pub(crate) fn blocking_for(&self, needs: Requirements, now: Instant) -> Option<TokenError> {
        let longer = self.live.is_some() && !needs.valid_for.is_zero();
        let failed_login = longer.then(|| self.rare.failed_logins.blocking(now));
        failed_login.flatten().or_else(|| self.blocking(now))
    }

    fn drop_expired(&mut self, now: &Moment) {
        let is_expired = |live: &mut Arc<CachedToken>| live.freshness(now) == Freshness::Expired;
        if let Some(expired) = self.live.take_if(is_expired) {
            self.keep_uses(expired.uses.clone());
        }
    }

    fn keep_uses(&mut self, uses: Option<Arc<Uses>>) {
        if uses.is_some() || self.rare.last_uses.is_some() {
            self.rare.last_uses = uses;
        }
    }

    /// Returns whether there is a token for these needs.
    pub(crate) fn is_served(&mut self, needs: Requirements, now: &Moment) -> bool {
        self.drop_expired(now);
        let live = self.live.as_ref();
        live.is_some_and(|live| suffices(live, needs, now))
    }

    /// Begins a fetch, which is stalled after `limit` without progress.
    pub(crate) fn begin_fetch(
        &mut self,
        needs: Requirements,
        now: &Moment,
        limit: Duration,
    ) -> Begun {
        let forced_by = match (&self.live, self.rare.suspect) {
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

    /// Returns the failure that prevents the next fetch.
    pub(crate) fn blocking(&self, now: Instant) -> Option<TokenError> {
        let shared = self.memory.as_ref().and_then(|it| it.blocking(now));
        shared.or_else(|| self.failures.blocking(now))
    }

    /// Returns how long the next fetch has to wait.
    pub(crate) fn backoff_left(&self, now: Instant) -> Option<Duration> {
        self.blocking(now)?.retry_after()
    }

    pub(crate) fn last_error(&self) -> Option<TokenError> {
        let memory = self.memory.as_ref();
        memory
            .and_then(|it| it.with_failures(|failures| failures.last_error().cloned()))
            .or_else(|| self.failures.last_error().cloned())
    }

    /// Returns whether the credentials were refused.
    pub(crate) fn is_refused(&self) -> bool {
        let memory = self.memory.as_ref();
        memory.is_some_and(|it| it.with_failures(|failures| failures.is_refused()))
            || self.failures.is_refused()
    }

    /// Returns how long the passage of time changes nothing for the token in use, so
    /// that no request has to make a lookup. Zero while a success would change
    /// something.
    pub(crate) fn quiet_for(&self, now: &Moment) -> Duration {
        let Some(live) = self.live.as_ref().filter(|_| !self.closed) else {
            return Duration::ZERO;
        };
        if self.rare.rejections.wants_success()
            || !self.is_proven(live)
            || self.rare.exclusivity.is_exclusive()
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

    /// Returns whether a success of this token would be no news.
    fn is_proven(&self, live: &CachedToken) -> bool {
        let generation = live.generation();
        let renewal_helped =
            |origin: OriginId| self.rare.rejections.has_accepted(origin, generation);
        live.forced_by.is_none_or(renewal_helped)
            && (live.by != FetchedBy::RefreshToken || self.rare.rejections.take_refreshed())
    }

    /// Drops the token in use.
    pub(crate) fn invalidate(&mut self) {
        if let Some(live) = self.live.take() {
            self.keep_uses(live.uses.clone());
        }
        self.invalidated = Some(Reason::Invalidated);
    }

    /// Takes out the tokens that are to be revoked. Returns `None`
    /// while a fetch is in progress, which brings more.
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

    /// Keeps tokens whose session could not be ended, after the cache was shut down.
    pub(crate) fn keep_unended(&mut self, tokens: Tokens) {
        if self.closed && (tokens.0.is_some() || tokens.1.is_some()) {
            self.rare.unended = Some(tokens);
        }
    }

    pub(crate) fn take_unended(&mut self) -> Option<Tokens> {
        self.rare.existing()?.unended.take()
    }

    /// Stops handing out tokens.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Forgets all failures and rejections.
    pub(crate) fn reset(&mut self) {
        self.failures.clear();
        self.memory = None;
        self.ignore_failures = true;
        if let Some(rare) = self.rare.existing() {
            rare.failed_logins.clear();
            rare.rejections.clear();
        }
    }
}

/// Returns whether a valid token meets a caller's needs.
fn suffices(live: &CachedToken, needs: Requirements, now: &Moment) -> bool {
    live.generation() > needs.newer_than
        && live
            .remaining(now)
            .is_none_or(|left| needs.valid_for <= left)
}

/// Returns the error for a caller that needs more life than new tokens have.
fn lives_too_short() -> TokenError {
    TokenError::new(
        TokenErrorKind::Config,
        "the tokens of this source do not live as long as was asked for",
    )
}
