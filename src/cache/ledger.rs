//! What the cache knows, and what follows from it: the token in use, the
//! refresh token, failures and their pauses. No I/O and no lock: times and
//! random numbers come from the caller.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::ask::Brought;
use crate::cache::clock::Moment;
use crate::cache::forced::Forced;
use crate::cache::schedule::{Backoff, Standing, Windows};
use crate::cache::state::Live;
use crate::error::{TokenError, TokenErrorKind};
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
    refresh: Option<Kept>,
    generation: u64,
    trouble: Option<Trouble>,
    forced: Forced,
    /// The next token comes of a renewal that a 401 forced.
    forcing: bool,
    /// The generation that a request was accepted with last.
    accepted: u64,
    /// The generation whose rejection was counted as a useless renewal.
    counted: u64,
    flying: Option<Flying>,
    flights: u64,
    /// The generation of the last token that came from the fleet's store, or
    /// went there.
    stored: u64,
    /// That generation was rejected.
    rejected: bool,
    /// Failures before this are not to count, not those of the fleet either.
    pardon: bool,
    /// Why the fleet's store could not be asked.
    pub(crate) store_fault: Option<TokenError>,
    /// Shut down: no more flights, no more tokens.
    closed: bool,
    /// The sentry is at its post.
    pub(crate) guarded: bool,
}

/// The flight under way.
#[derive(Debug)]
struct Flying {
    number: u64,
    /// It is lost if it has not landed by then: its runtime stands still.
    until: Instant,
}

#[derive(Debug)]
struct Kept {
    token: RefreshToken,
    born: Moment,
}

#[derive(Debug)]
struct Trouble {
    error: TokenError,
    /// Failures in a row that may pass by themselves.
    failures: u32,
    /// Refusals since the last token. What passes by itself undoes none.
    refusals: u32,
    until: Instant,
}

impl Ledger {
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
                                && self.held_for(now.monotonic).is_none(),
                        };
                    }
                },
            }
        }
        if self.is_flying(now.monotonic) {
            return Look::Fetch;
        }
        match (&self.trouble, self.held_for(now.monotonic)) {
            (Some(trouble), Some(left)) => {
                Look::Fail(trouble.error.clone().with_retry_after(Some(left)))
            }
            _ => Look::Fetch,
        }
    }

    /// A flight takes off, and is lost after `limit`. Gives its number.
    pub(crate) fn take_off(&mut self, now: &Moment, limit: Duration) -> u64 {
        self.flights += 1;
        self.flying = Some(Flying {
            number: self.flights,
            until: now.monotonic + limit,
        });
        self.flights
    }

    /// A flight has ended; false if it was lost before.
    pub(crate) fn touch_down(&mut self, number: u64) -> bool {
        let current = self.flying.as_ref().is_some_and(|it| it.number == number);
        if current {
            self.flying = None;
        }
        current
    }

    /// A flight is under way that should have landed long ago.
    pub(crate) fn is_lost(&self, now: Instant) -> bool {
        self.flying.as_ref().is_some_and(|it| now >= it.until)
    }

    pub(crate) fn is_flying(&self, now: Instant) -> bool {
        self.flying.as_ref().is_some_and(|it| now < it.until)
    }

    /// How long fetches are still held back after a failure.
    pub(crate) fn held_for(&self, now: Instant) -> Option<Duration> {
        let left = self.trouble.as_ref()?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.trouble
            .as_ref()
            .is_some_and(|trouble| trouble.refusals > 0)
    }

    pub(crate) fn last_error(&self) -> Option<&TokenError> {
        self.trouble.as_ref().map(|trouble| &trouble.error)
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
            Standing::Due if self.is_flying(now.monotonic) => {
                self.flying.as_ref().map_or(end, |it| {
                    end.min(it.until.saturating_duration_since(now.monotonic))
                })
            }
            Standing::Due => self.held_for(now.monotonic).unwrap_or_default().min(end),
            Standing::Expired => Duration::ZERO,
        }
    }

    /// The refresh token, if it is still alive.
    pub(crate) fn refresh_token(&self, now: &Moment, windows: &Windows) -> Option<RefreshToken> {
        let kept = self.refresh.as_ref()?;
        let alive = kept.token.lifetime().is_none_or(|lifetime| {
            now.since(&kept.born) < lifetime.saturating_sub(windows.margin(lifetime))
        });
        alive.then(|| kept.token.clone())
    }

    /// Forgets a refresh token that was refused, unless a newer one has come:
    /// the refusal may be that of a lost flight.
    pub(crate) fn forget_refresh_token(&mut self, refused: &RefreshToken) {
        self.refresh
            .take_if(|kept| kept.token.secret() == refused.secret());
    }

    /// The refresh token, if it is still alive, and nothing stays.
    pub(crate) fn take_refresh_token(
        &mut self,
        now: &Moment,
        windows: &Windows,
    ) -> Option<RefreshToken> {
        let alive = self.refresh_token(now, windows);
        self.refresh = None;
        alive
    }

    /// What to ask the fleet's store for.
    pub(crate) fn claim(&mut self, lease: Duration) -> Claim {
        Claim {
            newer_than: self.stored,
            rejected: self.rejected,
            pardon: std::mem::take(&mut self.pardon),
            lease,
        }
    }

    /// Enters what a flight brought.
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
            .map_err(|error| self.fail(error, pause, now, backoff, random))
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
        if let Some(stored) = stored {
            (self.stored, self.rejected) = (stored, false);
        }
        match refresh {
            Some(token) => self.refresh = Some(Kept { token, born }),
            // RFC 6749, section 6: the old one stays in use.
            None if refreshed => {}
            None => self.refresh = None,
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
        let live = Arc::new(Live::new(
            token,
            born,
            plan,
            std::mem::take(&mut self.forcing),
        ));
        self.live = Some(live.clone());
        self.trouble = None;
        Ok(live)
    }

    /// Enters a failure. A token that is still valid stays.
    fn fail(
        &mut self,
        error: TokenError,
        pause: Option<Duration>,
        now: &Moment,
        backoff: &Backoff,
        random: f64,
    ) -> TokenError {
        let (failures, refusals) = self.with(&error);
        let pause = pause.unwrap_or_else(|| self.pause(&error, backoff, random));
        self.trouble = Some(Trouble {
            error: error.clone(),
            failures,
            refusals,
            until: now.monotonic + pause,
        });
        error.with_retry_after(Some(pause))
    }

    /// The pause that this failure calls for.
    pub(crate) fn pause(&self, error: &TokenError, backoff: &Backoff, random: f64) -> Duration {
        let refused = error.kind() == TokenErrorKind::Refused;
        let (failures, refusals) = self.with(error);
        let count = if refused { refusals } else { failures };
        backoff.pause(refused, count, error.retry_after(), random)
    }

    /// Failures in a row and refusals, with this one.
    fn with(&self, error: &TokenError) -> (u32, u32) {
        let refused = error.kind() == TokenErrorKind::Refused;
        let before = self.trouble.as_ref();
        let (failures, refusals) = before.map_or((0, 0), |t| (t.failures, t.refusals));
        if refused {
            (0, refusals.saturating_add(1))
        } else {
            (failures.saturating_add(1), refusals)
        }
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
        self.rejected = true;
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
        self.rejected = true;
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
        let refresh = self.refresh_token(now, windows);
        self.refresh = None;
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
        self.trouble = None;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::clock::Clock;
    use crate::token::TokenResponse;

    #[test]
    fn a_refresh_token_that_was_refused_takes_no_newer_one_along() {
        let (mut ledger, windows) = (Ledger::default(), Windows::default());
        let backoff = Backoff::default();
        let now = Clock::default().now();
        let refresh = |text: &str| RefreshToken::new(text).expect("valid");
        let enter = |ledger: &mut Ledger, text: &str| {
            let response = TokenResponse::new(AccessToken::new("a").expect("valid"))
                .with_refresh_token(Some(refresh(text)));
            ledger
                .enter(
                    Brought::new(Ok(response), now),
                    &now,
                    &windows,
                    &backoff,
                    0.0,
                )
                .expect("a token");
        };
        let kept = |ledger: &Ledger| {
            let token = ledger.refresh_token(&now, &Windows::default());
            token.map(|token| token.secret().to_owned())
        };
        enter(&mut ledger, "old");
        enter(&mut ledger, "new");
        ledger.forget_refresh_token(&refresh("old"));
        assert_eq!(kept(&ledger).as_deref(), Some("new"));
        ledger.forget_refresh_token(&refresh("new"));
        assert_eq!(kept(&ledger), None);
    }
}
