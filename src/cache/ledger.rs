//! What the cache knows, and what follows from it: the token in use, the
//! refresh token, failures and their pauses. No I/O and no lock: times and
//! random numbers come from the caller.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::brought::Brought;
use crate::cache::clock::Moment;
use crate::cache::flying::Flying;
use crate::cache::forced::Forced;
use crate::cache::refresh::Refresh;
use crate::cache::schedule::{Backoff, Standing, Windows};
use crate::cache::state::Live;
use crate::cache::trouble::Troubles;
use crate::error::{TokenError, TokenErrorKind};
use crate::events::Reason;
use crate::store::Claim;
use crate::token::{AccessToken, RefreshToken};

/// What a caller needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Want {
    /// A generation above this one.
    pub(crate) newer_than: u64,
    /// So much life left.
    pub(crate) valid_for: Duration,
}

/// What a caller gets at once.
#[derive(Debug)]
pub(crate) enum Look {
    Serve {
        live: Arc<Live>,
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
    HeldBack,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) live: Option<Arc<Live>>,
    pub(crate) refresh: Refresh,
    generation: u64,
    pub(crate) troubles: Troubles,
    forced: Forced,
    /// The next token comes of a renewal that a 401 forced.
    forcing: bool,
    /// The generation that a request was accepted with last.
    accepted: u64,
    /// The generation whose rejection was counted as a useless renewal.
    counted: u64,
    pub(crate) flying: Flying,
    /// The generation of the last token that came from the fleet's store, or
    /// went there.
    stored: u64,
    /// Why the last token was given up before its time.
    given_up: Option<Reason>,
    /// Failures before this are not to count, not those of the fleet either.
    pardon: bool,
    /// Why the fleet's store could not be asked.
    pub(crate) store_fault: Option<TokenError>,
    /// Shut down: no more flights, no more tokens.
    closed: bool,
    /// The sentry is at its post.
    pub(crate) guarded: bool,
    /// Many threads are expected to send the same token.
    striped: bool,
}

impl Ledger {
    pub(crate) fn new(striped: bool) -> Self {
        Self {
            striped,
            ..Self::default()
        }
    }

    pub(crate) fn look(&mut self, want: Want, now: &Moment) -> Look {
        if self.closed {
            let what = "the token cache was shut down";
            return Look::Fail(TokenError::new(TokenErrorKind::Closed, what));
        }
        if let Some(live) = &self.live {
            let age = now.since(&live.born);
            match live.plan.standing(age) {
                Standing::Expired => self.live = None,
                _ if live.generation() <= want.newer_than => {}
                standing => match too_short(live, want.valid_for, age) {
                    Some(TooShort::Always) => return Look::Fail(lives_too_short()),
                    Some(TooShort::ByNow) => {}
                    None => {
                        return Look::Serve {
                            live: live.clone(),
                            renew: standing == Standing::Due
                                && !self.is_flying(now.monotonic)
                                && self.troubles.held_for(now.monotonic).is_none(),
                        };
                    }
                },
            }
        }
        if self.is_flying(now.monotonic) {
            return Look::Fetch;
        }
        match self.troubles.in_the_way(now.monotonic) {
            Some(error) => Look::Fail(error),
            None => Look::Fetch,
        }
    }

    /// A flight takes off, and is lost after `limit`. Gives its number, and why
    /// it does.
    pub(crate) fn take_off(&mut self, want: Want, now: &Moment, limit: Duration) -> (u64, Reason) {
        let reason = match (&self.live, self.given_up) {
            (Some(_), _) if !want.valid_for.is_zero() => Reason::Short,
            (Some(_), _) => Reason::Due,
            (None, Some(reason)) => reason,
            (None, None) if self.generation == 0 => Reason::Cold,
            (None, None) => Reason::Expired,
        };
        (self.flying.take_off(now.monotonic, limit), reason)
    }

    pub(crate) fn is_flying(&self, now: Instant) -> bool {
        self.flying.left(now).is_some()
    }

    /// How long nothing changes by itself for the token in use, so that nobody
    /// has to look. Zero while a success would be news.
    pub(crate) fn quiet(&self, now: &Moment) -> Duration {
        let Some(live) = self.live.as_ref().filter(|_| !self.closed) else {
            return Duration::ZERO;
        };
        if self.forced.listens() || (live.forced && self.accepted != live.generation()) {
            return Duration::ZERO;
        }
        let age = now.since(&live.born);
        let until = |at: Duration| at.saturating_sub(age);
        let end = live.plan.expired.map_or(Duration::MAX, until);
        match live.plan.standing(age) {
            Standing::Fresh => until(live.plan.due).min(end),
            Standing::Due => {
                let flying = self.flying.left(now.monotonic);
                let held = || self.troubles.held_for(now.monotonic);
                flying.or_else(held).unwrap_or_default().min(end)
            }
            Standing::Expired => Duration::ZERO,
        }
    }

    /// What to ask the fleet's store for.
    pub(crate) fn claim(&mut self, lease: Duration) -> Claim {
        Claim {
            newer_than: self.stored,
            rejected: self.given_up.is_some(),
            pardon: std::mem::take(&mut self.pardon),
            lease,
        }
    }

    /// Enters what a flight brought. After a failure a token that is still valid
    /// stays.
    pub(crate) fn enter(
        &mut self,
        brought: Brought,
        now: &Moment,
        windows: &Windows,
        backoff: &Backoff,
        random: f64,
    ) -> Result<Arc<Live>, TokenError> {
        let pause = brought.pause;
        self.enter_token(brought, now, windows, random)
            .map_err(|error| {
                let drawn = || self.troubles.pause(&error, backoff, random);
                let pause = pause.unwrap_or_else(drawn);
                self.troubles.enter(error, pause, now)
            })
    }

    fn enter_token(
        &mut self,
        brought: Brought,
        now: &Moment,
        windows: &Windows,
        random: f64,
    ) -> Result<Arc<Live>, TokenError> {
        let Brought {
            answer,
            refreshed,
            born,
            age,
            stored,
            ..
        } = brought;
        let (token, refresh) = answer?.into_parts();
        self.given_up = None;
        self.stored = stored.unwrap_or(self.stored);
        match refresh {
            // RFC 6749, section 6: the old one stays in use.
            None if refreshed => {}
            refresh => self.refresh.keep(refresh, born),
        }
        let plan = windows.plan(token.lifetime(), random).aged(age);
        if plan.standing(now.since(&born)) == Standing::Expired {
            return Err(TokenError::new(
                TokenErrorKind::Expired,
                "the access token had no life left when it arrived",
            ));
        }
        self.generation += 1;
        let token = token.numbered(self.generation);
        let mut live = Live::new(token, born, plan, std::mem::take(&mut self.forcing));
        if self.striped {
            live = live.striped();
        }
        let live = Arc::new(live);
        self.live = Some(live.clone());
        self.troubles.clear();
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
        backoff: &Backoff,
    ) -> Rejection {
        let Some(live) = self
            .live
            .as_ref()
            .filter(|live| live.generation() == generation)
        else {
            return Rejection::Renew;
        };
        if self.forced.held_for(now.monotonic).is_some() {
            return Rejection::HeldBack;
        }
        let fresh = live.forced && (replayed || self.accepted != generation);
        if fresh && self.counted != generation {
            self.counted = generation;
            self.forced.was_useless(now.monotonic, &backoff.forced);
            return Rejection::HeldBack;
        }
        self.live = None;
        self.given_up = Some(Reason::Rejected);
        // A token under way was not asked for because of this 401, so its own
        // rejection would say nothing about renewing.
        self.forcing = !self.is_flying(now.monotonic);
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
        self.accepted = generation;
        self.forced.accepted(replayed && live.forced);
    }

    pub(crate) fn forced_held_for(&self, now: Instant) -> Option<Duration> {
        self.forced.held_for(now)
    }

    /// Gives up the token in use.
    pub(crate) fn invalidate(&mut self) {
        self.live = None;
        self.given_up = Some(Reason::Invalidated);
    }

    /// Hands out what is to be given up at the server, and keeps none of it.
    /// `None` while a flight is under way, which brings more.
    pub(crate) fn give_up(
        &mut self,
        now: &Moment,
        windows: &Windows,
    ) -> Option<(Option<AccessToken>, Option<RefreshToken>)> {
        if self.is_flying(now.monotonic) {
            return None;
        }
        let refresh = self.refresh.take(now, windows);
        self.given_up = Some(Reason::Invalidated);
        let live = self.live.take();
        let live = live.filter(|it| it.plan.standing(now.since(&it.born)) != Standing::Expired);
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
        self.troubles.clear();
        self.pardon = true;
        self.forced = Forced::default();
    }
}

enum TooShort {
    /// There is too little left of its life.
    ByNow,
    /// Its whole life is too short.
    Always,
}

fn too_short(live: &Live, valid_for: Duration, age: Duration) -> Option<TooShort> {
    let expired = live.plan.expired?;
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
