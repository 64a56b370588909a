//! What the cache has to know, and what follows from it.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A point in time on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) awake: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    /// By the clock that went further.
    pub(crate) fn age(&self, now: &Self) -> Duration {
        let wall = now.wall.duration_since(self.wall).unwrap_or_default();
        now.awake.saturating_duration_since(self.awake).max(wall)
    }
}

/// A token of either sort, as its receiver knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) serial: u64,
    pub(crate) born: Moment,
    pub(crate) lifetime: Option<Duration>,
    /// It came by a refresh token.
    pub(crate) refreshed: bool,
    /// The token before had been rejected.
    pub(crate) forced: bool,
}

impl Known {
    /// The age from which it must not be sent.
    pub(crate) fn end(&self) -> Option<Duration> {
        let life = self.lifetime?;
        let margin = life.mul_f64(0.1).min(Duration::from_secs(10));
        Some(life - margin)
    }

    pub(crate) fn is_valid(&self, now: &Moment) -> bool {
        self.end().is_none_or(|end| self.born.age(now) < end)
    }

    /// Whether it may be due: jitter makes it later, never earlier.
    pub(crate) fn may_be_due(&self, now: &Moment) -> bool {
        let due = match self.lifetime {
            Some(life) => life - life.mul_f64(0.2).min(Duration::from_secs(300)),
            None => Duration::from_secs(270),
        };
        self.born.age(now) >= due
    }
}

/// The default of [`tower_bearer::TokenCacheBuilder::wait_timeout`].
pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// Timers go off up to a millisecond late.
const TICK: Duration = Duration::from_millis(1);

/// The pauses after refusals, each up to a quarter longer.
const REFUSED: [u64; 4] = [60, 600, 3600, 6 * 3600];

/// Which of a fetch's attempts a request belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Attempt {
    #[default]
    First,
    Second,
    /// It came when a second attempt was possible, but not sure.
    Either,
}

/// A second attempt of a fetch that could not connect.
#[derive(Clone, Copy, Debug)]
struct Retry {
    until: Instant,
    must: bool,
}

/// A login that may follow a request with a refresh token, in the same fetch.
#[derive(Clone, Debug)]
struct Login {
    at: Instant,
    must: bool,
    /// As if the request with the refresh token had not been.
    before: Box<Reference>,
    /// What the request yielded, if that lives shorter than was asked for.
    too_short: Option<Yield>,
}

/// A token, and the refresh token beside it.
type Yield = (Known, Option<Known>);

/// What failures lead to.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff {
    failures: u32,
    refusals: u32,
    /// No attempt before the first, and none is denied from the second on.
    pause: Option<(Instant, Instant)>,
}

impl Backoff {
    fn may_try(&self, now: &Moment) -> bool {
        self.pause.is_none_or(|(least, _)| now.awake >= least)
    }

    fn may_deny(&self, now: &Moment) -> bool {
        self.pause.is_some_and(|(_, most)| now.awake < most)
    }

    /// A random pause, but no shorter than asked for.
    fn failed(&mut self, asked: Option<Duration>, now: &Moment) {
        let asked = asked.unwrap_or_default().min(Duration::from_secs(300));
        let bound = doubled(Duration::from_millis(250), self.failures).min(Duration::from_secs(30));
        self.failures += 1;
        self.pause = Some((now.awake + asked, now.awake + bound.max(asked)));
    }

    fn refused(&mut self, now: &Moment) {
        let step = REFUSED.len().min(self.refusals as usize + 1) - 1;
        let pause = Duration::from_secs(REFUSED[step]);
        self.refusals += 1;
        self.failures = 0;
        self.pause = Some((now.awake + pause, now.awake + pause.mul_f64(1.25)));
    }
}

/// The cache as it should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    pub(crate) token: Option<Known>,
    pub(crate) refresh: Option<Known>,
    /// The wall clock was set back, and the token in use may have been dropped
    /// for its age before.
    pub(crate) doubted: bool,
    /// A 401 came for the token in use.
    suspected: bool,
    backoff: Backoff,
    /// That of logins for a longer life than a refresh yields.
    login_backoff: Backoff,

    /// Requests with the refresh token that failed in a row.
    failed_refreshes: u32,
    login: Option<Login>,
    /// What a login goes on with if it fails.
    too_short: Option<Yield>,
    started: Option<Instant>,
    /// Somebody wanted a token that lives longer when it began.
    for_longer: bool,
    attempt: Attempt,
    retry: Option<Retry>,

    /// The token that the API accepted last.
    accepted: u64,
    /// The API has accepted a token that came by a refresh token.
    takes_refreshed: bool,
    /// A renewal may have been in vain.
    fruitless: bool,
    /// The refresh token may have been discarded for what it yielded.
    may_discard: bool,
}

impl Reference {
    pub(crate) fn valid(&self, now: &Moment) -> Option<&Known> {
        self.token.as_ref().filter(|token| token.is_valid(now))
    }

    fn live_refresh(&self, now: &Moment) -> Option<&Known> {
        self.refresh.as_ref().filter(|token| token.is_valid(now))
    }

    /// Whether a caller may get an error from memory, who asks for so much life.
    pub(crate) fn may_deny(&self, longer: bool, now: &Moment) -> bool {
        let longer = longer && self.valid(now).is_some();
        self.backoff.may_deny(now) || (longer && self.login_backoff.may_deny(now))
    }

    /// A token request comes, with this refresh token or with the password;
    /// `asked`: somebody wants a token that lives longer. The promise that it
    /// breaks.
    pub(crate) fn arrived(
        &mut self,
        refresh: Option<u64>,
        asked: bool,
        now: &Moment,
    ) -> Result<(), &'static str> {
        if let Some(login) = self.login.take() {
            if refresh.is_none() && login.at == now.awake {
                *self = *login.before;
                self.too_short = login.too_short;
                if self.too_short.is_some() && !self.login_backoff.may_try(now) {
                    return Err("a login for a longer life during its pause");
                }
                return Ok(());
            }
            if login.must {
                return Err("no login after a refresh that failed");
            }
        }
        let known = self.live_refresh(now).map(|kept| kept.serial);
        if refresh != known {
            if refresh.is_some() || !self.may_discard {
                return Err("not the refresh token that is alive");
            }
            self.refresh = None;
        }
        self.may_discard = false;
        let may_fetch = self.backoff.may_try(now);
        let retry = self.retry.take();
        self.for_longer = asked || (retry.is_some() && self.for_longer);
        match retry.filter(|retry| now.awake <= retry.until) {
            Some(Retry { must: true, .. }) => self.attempt = Attempt::Second,
            // Of a fetch that has begun now, perhaps.
            Some(_) => (self.attempt, self.started) = (Attempt::Either, Some(now.awake)),
            None if retry.is_some_and(|retry| retry.must) => {
                return Err("no second attempt");
            }
            None => {
                (self.attempt, self.started) = (Attempt::First, Some(now.awake));
                let needed = self.valid(now).is_none_or(|token| token.may_be_due(now));
                if !(needed || asked || self.suspected || self.doubted) {
                    return Err("a fetch without a cause");
                }
            }
        }
        if may_fetch {
            Ok(())
        } else {
            Err("a fetch during its pause")
        }
    }

    /// Nothing more happens at this moment. The promise that was not kept;
    /// whether a fetch goes on between two attempts is for the cache to say.
    pub(crate) fn settled(&mut self, goes_on: bool, now: &Moment) -> Result<(), &'static str> {
        if self.login.take().is_some_and(|login| login.must) {
            return Err("no login after a refresh that failed");
        }
        match self.retry {
            Some(retry) if retry.must && !goes_on => Err("no second attempt"),
            Some(retry) if goes_on && now.awake > retry.until => Err("a late second attempt"),
            None if goes_on => Err("not the fetch under way"),
            Some(_) if !goes_on => {
                self.retry = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A request that was on its way is as if it had not been.
    pub(crate) fn runtime_ended(&mut self) {
        (self.login, self.too_short, self.retry) = (None, None, None);
    }

    /// A token came, perhaps with a refresh token.
    pub(crate) fn issued(&mut self, token: Known, refresh: Option<Known>, now: &Moment) {
        let before = Box::new(self.clone());
        self.take_in((token, refresh), now);
        self.login = (token.refreshed && self.for_longer).then_some(Login {
            at: now.awake,
            must: false,
            before,
            too_short: Some((token, refresh)),
        });
    }

    fn take_in(&mut self, (token, refresh): Yield, now: &Moment) {
        self.too_short = None;
        // A login says nothing of how refreshes fare.
        if token.refreshed {
            self.failed_refreshes = 0;
        }
        if !token.refreshed {
            self.login_backoff = Backoff::default();
        }
        if refresh.is_some() || !token.refreshed {
            self.refresh = refresh;
            self.may_discard = false;
        }
        self.received(token, now);
    }

    /// Whether a token may be used: one that is dead already is a failure.
    fn received(&mut self, token: Known, now: &Moment) {
        if token.is_valid(now) {
            let forced = self.suspected;
            self.token = Some(Known { forced, ..token });
            (self.doubted, self.suspected) = (false, false);
            self.forgive();
        } else {
            self.backoff.failed(None, now);
        }
    }

    /// What may pass by itself; `refreshing`: a request with a refresh token.
    pub(crate) fn failed(
        &mut self,
        refreshing: bool,
        unconnected: bool,
        asked: Option<Duration>,
        now: &Moment,
    ) {
        if let Some(short) = self.too_short.take() {
            // The token of the refresh will do.
            self.take_in(short, now);
            return self.login_backoff.failed(asked, now);
        }
        if refreshing {
            self.failed_refreshes += 1;
        }
        let before = Box::new(self.clone());
        self.backoff.failed(asked, now);
        let served = self.valid(now).is_some();
        if unconnected && self.attempt != Attempt::Second {
            let (least, most) = self.backoff.pause.expect("it has failed");
            let spent = |until: Instant| self.started.map(|started| until - started);
            if spent(least).is_some_and(|spent| spent < WAIT) {
                let surely = spent(most).is_some_and(|spent| spent < WAIT);
                self.retry = Some(Retry {
                    until: most + TICK,
                    must: surely && !served && self.attempt == Attempt::First,
                });
            }
        }
        if refreshing && self.failed_refreshes >= 2 {
            let must = !served;
            if must {
                self.retry = None;
            }
            self.login = Some(Login {
                at: now.awake,
                must,
                before,
                too_short: None,
            });
        }
    }

    /// The password was refused.
    pub(crate) fn refused(&mut self, now: &Moment) {
        if let Some(short) = self.too_short.take() {
            self.take_in(short, now);
            return self.login_backoff.refused(now);
        }
        self.backoff.refused(now);
    }

    /// The refresh token was refused.
    pub(crate) fn refused_refresh(&mut self, now: &Moment) {
        self.refresh = None;
        self.failed_refreshes += 1;
        self.login = Some(Login {
            at: now.awake,
            must: true,
            before: Box::new(self.clone()),
            too_short: None,
        });
    }

    pub(crate) fn forgive(&mut self) {
        self.backoff = Backoff::default();
    }

    /// Everything that went wrong is forgotten.
    pub(crate) fn reset(&mut self) {
        self.forgive();
        self.login_backoff = Backoff::default();
        (self.accepted, self.takes_refreshed, self.fruitless) = (0, false, false);
    }

    /// The API accepted a token.
    pub(crate) fn accepted(&mut self, serial: u64) {
        if let Some(token) = self.token.filter(|token| token.serial == serial) {
            self.accepted = serial;
            self.takes_refreshed |= token.refreshed;
        }
    }

    /// The API rejected a token.
    pub(crate) fn rejected(&mut self, serial: u64, replayed: bool, now: &Moment) {
        let Some(token) = self.token.filter(|token| token.serial == serial) else {
            return;
        };
        self.suspected = true;
        // It is in use: no login for a longer life follows in its fetch.
        self.login.take_if(|login| {
            login
                .too_short
                .is_some_and(|(short, _)| short.serial == serial)
        });
        let unproven = self.accepted != serial;
        if token.refreshed && !self.takes_refreshed && (unproven || replayed) {
            // Nothing is made of the rejection of one that has been dropped.
            let dropped = self.doubted || !token.is_valid(now);
            if unproven && !self.fruitless && !token.forced && !dropped {
                self.refresh = None;
            } else {
                self.may_discard = true;
            }
        }
        self.fruitless |= token.forced;
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first * 2_u32.pow(times.min(10))
}
