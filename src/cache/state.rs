//! What the cache knows, and what follows from it: the token in use, the
//! refresh token, failures and their pauses. No I/O and no lock: times and
//! random numbers come from the caller.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::clock::Moment;
use crate::cache::current::CachedToken;
use crate::cache::failures::Failures;
use crate::cache::in_flight::CurrentFetch;
use crate::cache::in_flight::FetchResult;
use crate::cache::refresh_token::HeldRefreshToken;
use crate::cache::rejections::RejectionBackoff;
use crate::cache::schedule::{Freshness, Schedule};
use crate::cache::settings::Settings;
use crate::error::{TokenError, TokenErrorKind};
use crate::store::Acquire;
use crate::telemetry::Reason;
use crate::token::{AccessToken, RefreshToken};

/// What a caller needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requirements {
    /// A generation above this one.
    pub(crate) newer_than: u64,
    /// So much life left.
    pub(crate) valid_for: Duration,
}

/// What a caller gets at once.
#[derive(Debug)]
pub(crate) enum Lookup {
    Serve {
        live: Arc<CachedToken>,
        /// A renewal in the background is called for.
        renew: bool,
    },
    Fail(TokenError),
    /// Nothing: join a flight, or start one.
    Fetch,
}

/// What a 401 leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// A newer token is there or may be fetched.
    Renew,
    /// The token stays: renewing did not help lately.
    RenewalBackedOff,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) live: Option<Arc<CachedToken>>,
    pub(crate) refresh: HeldRefreshToken,
    generation: u64,
    pub(crate) failures: Failures,
    forced: RejectionBackoff,
    /// The next token comes of a renewal that a 401 forced.
    renewing_after_401: bool,
    /// The generation that a request was accepted with last.
    accepted_generation: u64,
    /// The generation whose rejection was counted as a useless renewal.
    rejection_counted_for: u64,
    pub(crate) current_fetch: CurrentFetch,
    /// The generation of the last token that came from the fleet's store, or
    /// went there.
    store_generation: u64,
    /// Why the last token was given up before its time.
    invalidated: Option<Reason>,
    /// Failures before this are not to count, not those of the fleet either.
    ignore_failures: bool,
    /// Why the fleet's store could not be asked.
    pub(crate) store_error: Option<TokenError>,
    /// Shut down: no more flights, no more tokens.
    closed: bool,
    /// The sentry is at its post.
    pub(crate) clock_watched: bool,
    /// Many threads are expected to send the same token.
    striped: bool,
}

impl State {
    pub(crate) fn new(striped: bool) -> Self {
        Self {
            striped,
            ..Self::default()
        }
    }

    pub(crate) fn lookup(&mut self, needs: Requirements, now: &Moment) -> Lookup {
        if self.closed {
            let what = "the token cache was shut down";
            return Lookup::Fail(TokenError::new(TokenErrorKind::ShutDown, what));
        }
        if let Some(live) = &self.live {
            let age = now.since(&live.requested_at);
            match live.schedule.freshness(age) {
                Freshness::Expired => self.live = None,
                _ if live.generation() <= needs.newer_than => {}
                freshness => match too_short(live, needs.valid_for, age) {
                    Some(TooShort::Always) => return Lookup::Fail(lives_too_short()),
                    Some(TooShort::ByNow) => {}
                    None => {
                        return Lookup::Serve {
                            live: live.clone(),
                            renew: freshness == Freshness::Due
                                && !self.is_fetching(now.monotonic)
                                && self.failures.backoff_left(now.monotonic).is_none(),
                        };
                    }
                },
            }
        }
        if self.is_fetching(now.monotonic) {
            return Lookup::Fetch;
        }
        match self.failures.blocking(now.monotonic) {
            Some(error) => Lookup::Fail(error),
            None => Lookup::Fetch,
        }
    }

    /// A flight takes off, and is lost after `limit`. Gives its number, and why
    /// it does.
    pub(crate) fn begin_fetch(
        &mut self,
        needs: Requirements,
        now: &Moment,
        limit: Duration,
    ) -> (u64, Reason) {
        let reason = match (&self.live, self.invalidated) {
            (Some(_), _) if !needs.valid_for.is_zero() => Reason::Short,
            (Some(_), _) => Reason::Due,
            (None, Some(reason)) => reason,
            (None, None) if self.generation == 0 => Reason::Cold,
            (None, None) => Reason::Expired,
        };
        (self.current_fetch.begin(now.monotonic, limit), reason)
    }

    pub(crate) fn is_fetching(&self, now: Instant) -> bool {
        self.current_fetch.remaining(now).is_some()
    }

    /// How long nothing changes by itself for the token in use, so that nobody
    /// has to look. Zero while a success would be news.
    pub(crate) fn quiet_for(&self, now: &Moment) -> Duration {
        let Some(live) = self.live.as_ref().filter(|_| !self.closed) else {
            return Duration::ZERO;
        };
        if self.forced.wants_success()
            || (live.forced && self.accepted_generation != live.generation())
        {
            return Duration::ZERO;
        }
        let age = now.since(&live.requested_at);
        let until = |at: Duration| at.saturating_sub(age);
        let end = live.schedule.expired.map_or(Duration::MAX, until);
        match live.schedule.freshness(age) {
            Freshness::Fresh => until(live.schedule.due).min(end),
            Freshness::Due => {
                let current_fetch = self.current_fetch.remaining(now.monotonic);
                let held = || self.failures.backoff_left(now.monotonic);
                current_fetch.or_else(held).unwrap_or_default().min(end)
            }
            Freshness::Expired => Duration::ZERO,
        }
    }

    /// What to ask the fleet's store for.
    pub(crate) fn acquire(&mut self, lease: Duration) -> Acquire {
        Acquire {
            newer_than: self.store_generation,
            rejected: self.invalidated.is_some(),
            ignore_failure: std::mem::take(&mut self.ignore_failures),
            lease,
        }
    }

    /// Enters what a flight fetched. After a failure a token that is still valid
    /// stays.
    pub(crate) fn record(
        &mut self,
        fetched: FetchResult,
        now: &Moment,
        settings: &Settings,
        random: f64,
    ) -> Result<Arc<CachedToken>, TokenError> {
        let pause = fetched.pause;
        self.record_token(fetched, now, settings, random)
            .map_err(|error| {
                let drawn = || self.failures.pause(&error, settings, random);
                let pause = pause.unwrap_or_else(drawn);
                self.failures.record(error, pause, now)
            })
    }

    fn record_token(
        &mut self,
        fetched: FetchResult,
        now: &Moment,
        settings: &Settings,
        random: f64,
    ) -> Result<Arc<CachedToken>, TokenError> {
        let FetchResult {
            answer,
            refreshed,
            requested_at,
            age,
            store_generation,
            ..
        } = fetched;
        let (token, refresh) = answer?.into_parts();
        self.invalidated = None;
        self.store_generation = store_generation.unwrap_or(self.store_generation);
        match refresh {
            // RFC 6749, section 6: the old one stays in use.
            None if refreshed => {}
            refresh => self.refresh.set(refresh, requested_at),
        }
        let schedule = Schedule::new(settings, token.lifetime(), random).aged(age);
        if schedule.freshness(now.since(&requested_at)) == Freshness::Expired {
            return Err(TokenError::new(
                TokenErrorKind::Expired,
                "the access token had no life left when it arrived",
            ));
        }
        self.generation += 1;
        let token = token.numbered(self.generation);
        let mut live = CachedToken::new(
            token,
            requested_at,
            schedule,
            std::mem::take(&mut self.renewing_after_401),
        );
        if self.striped {
            live = live.striped();
        }
        let live = Arc::new(live);
        self.live = Some(live.clone());
        self.failures.clear();
        Ok(live)
    }

    /// The API answered 401 to a request with this generation.
    ///
    /// Where a replay is rejected too, renewing did not help, whatever other
    /// requests say of the new token.
    pub(crate) fn rejected(
        &mut self,
        generation: u64,
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
        if self.forced.backoff_left(now.monotonic).is_some() {
            return Rejection::RenewalBackedOff;
        }
        let fresh = live.forced && (replayed || self.accepted_generation != generation);
        if fresh && self.rejection_counted_for != generation {
            self.rejection_counted_for = generation;
            self.forced
                .was_fruitless(now.monotonic, &settings.rejection_backoff);
            return Rejection::RenewalBackedOff;
        }
        self.live = None;
        self.invalidated = Some(Reason::Rejected);
        // A token under way was not asked for because of this 401, so its own
        // rejection would say nothing about renewing.
        self.renewing_after_401 = !self.is_fetching(now.monotonic);
        Rejection::Renew
    }

    /// The API accepted a request with this generation.
    pub(crate) fn accepted(&mut self, generation: u64, replayed: bool) {
        let Some(live) = self
            .live
            .as_ref()
            .filter(|live| live.generation() == generation)
        else {
            return;
        };
        self.accepted_generation = generation;
        self.forced.accepted(replayed && live.forced);
    }

    pub(crate) fn rejection_backoff(&self, now: Instant) -> Option<Duration> {
        self.forced.backoff_left(now)
    }

    /// Gives up the token in use.
    pub(crate) fn invalidate(&mut self) {
        self.live = None;
        self.invalidated = Some(Reason::Invalidated);
    }

    /// Hands out what is to be given up at the server, and keeps none of it.
    /// `None` while a flight is under way, which brings more.
    pub(crate) fn take_tokens(
        &mut self,
        now: &Moment,
        settings: &Settings,
    ) -> Option<(Option<AccessToken>, Option<RefreshToken>)> {
        if self.is_fetching(now.monotonic) {
            return None;
        }
        let refresh = self.refresh.take(now, settings);
        self.invalidated = Some(Reason::Invalidated);
        let live = self.live.take();
        let live = live
            .filter(|it| it.schedule.freshness(now.since(&it.requested_at)) != Freshness::Expired);
        Some((live.map(|live| live.token.clone()), refresh))
    }

    /// No token leaves from now on.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Forgets all failures.
    pub(crate) fn reset(&mut self) {
        self.failures.clear();
        self.ignore_failures = true;
        self.forced = RejectionBackoff::default();
    }
}

enum TooShort {
    /// There is too little left of its life.
    ByNow,
    /// Its whole life is too short.
    Always,
}

fn too_short(live: &CachedToken, valid_for: Duration, age: Duration) -> Option<TooShort> {
    let expired = live.schedule.expired?;
    if valid_for.saturating_add(age) <= expired {
        None
    } else if valid_for > expired {
        Some(TooShort::Always)
    } else {
        Some(TooShort::ByNow)
    }
}

/// The answer to a caller who wants more life than a new token has.
pub(crate) fn lives_too_short() -> TokenError {
    TokenError::new(
        TokenErrorKind::Config,
        "the tokens of this source do not live as long as was asked for",
    )
}
