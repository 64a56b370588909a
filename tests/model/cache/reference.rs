//! What the cache must know, and what follows from it.

use std::time::Duration;

use tokio::task::{Id, try_id};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::cache::exclusive::Exclusive;
use crate::cache::rejections::{Origins, Verdict};
use crate::moment::{Forced, Known, Moment, TICK};

/// How long requests with the token in use are waited for before an exclusive
/// refresh.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Which of a fetch's attempts a request belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Attempt {
    #[default]
    First,
    Second,
    /// It came when a second attempt was possible, but not sure.
    Either,
}

/// A second attempt of a fetch that could not connect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub(super) until: Instant,
    pub(super) must: bool,
}

/// A login that may follow a request with a refresh token, in the same fetch.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) at: Instant,
    pub(super) must: bool,
    /// As if the request with the refresh token had not been.
    pub(super) before: Box<Reference>,
    /// The result of the request, if it lives shorter than was asked for.
    pub(super) too_short: Option<Yield>,
}

/// A token, and the refresh token that came with it.
pub(super) type Yield = (Known, Option<Known>);

/// The cache as it should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    pub(crate) token: Option<Known>,
    /// The token that was in use last.
    pub(crate) last: Option<u64>,
    pub(crate) refresh: Option<Known>,
    /// The wall clock was set back, and the token in use may have been dropped
    /// for its age before.
    pub(crate) doubted: bool,
    /// The origins that the token in use was rejected at, so that a newer one is
    /// fetched.
    pub(super) suspected: Vec<usize>,
    /// The rejection that the fetch in progress is due to.
    pub(super) forced: Forced,
    pub(super) backoff: Backoff,
    /// That of the password, which a token that came by refresh does not end.
    pub(super) password_backoff: Backoff,
    /// That of logins for a longer life than a refresh yields, which got no answer.
    pub(super) login_backoff: Backoff,

    /// Requests with the refresh token that failed in a row.
    pub(super) failed_refreshes: u32,
    pub(super) login: Option<Login>,
    /// The task of the fetch that made the last request: each fetch has its own.
    task: Option<Id>,
    /// What a login falls back to if it fails.
    pub(super) too_short: Option<Yield>,
    pub(super) started: Option<Instant>,
    /// Since when a fetch waits for requests with the token that was in use last.
    waiting: Option<Instant>,
    /// Whether a caller wanted a token that lives longer when it began.
    pub(super) for_longer: bool,
    pub(super) attempt: Attempt,
    pub(super) retry: Option<Retry>,

    /// The refresh token may have been discarded because of what it yielded.
    pub(super) may_discard: bool,
    origins: Origins,
    pub(crate) exclusive: Exclusive,
}

impl Reference {
    pub(crate) fn valid(&self, now: &Moment) -> Option<&Known> {
        self.token.as_ref().filter(|token| token.is_valid(now))
    }

    fn live_refresh(&self, now: &Moment) -> Option<&Known> {
        self.refresh.as_ref().filter(|token| token.is_valid(now))
    }

    /// Returns whether a caller that asks for this much life may get an error from
    /// memory.
    pub(crate) fn may_deny(&self, longer: bool, now: &Moment) -> bool {
        let longer = longer && self.valid(now).is_some();
        self.backoff.may_deny(now.awake)
            || self.password_backoff.may_deny(now.awake)
            || (longer && self.login_backoff.may_deny(now.awake))
    }

    /// A token request comes, with this refresh token or with the password; `asked`:
    /// a caller wants a token that lives longer. Returns the promise that it breaks.
    pub(crate) fn arrived(
        &mut self,
        refresh: Option<u64>,
        asked: bool,
        now: &Moment,
    ) -> Result<(), &'static str> {
        // A fetch that begins at the moment when another ends is not part of it.
        let task = try_id();
        if refresh.is_none() && !self.password_backoff.may_try(now.awake) {
            return Err("the password is sent during its pause");
        }
        let goes_on = std::mem::replace(&mut self.task, task) == task;
        if let Some(login) = self.login.take() {
            if refresh.is_none() && login.at == now.awake && goes_on {
                let exclusive = self.exclusive.clone();
                *self = *login.before;
                (self.too_short, self.exclusive) = (login.too_short, exclusive);
                if self.too_short.is_some() {
                    self.exclusive.goes_on();
                }
                if self.too_short.is_some() && !self.login_backoff.may_try(now.awake) {
                    return Err("a login for a longer life during its pause");
                }
                return Ok(());
            }
            if login.must {
                return Err("no login after a refresh that failed");
            }
        }
        let waiting = self.waiting.take();
        if waiting.is_some_and(|since| now.awake > since + LONGEST_WAIT + TICK) {
            return Err("requests were waited for too long before a refresh");
        }
        let known = self.live_refresh(now).map(|kept| kept.serial);
        if refresh != known {
            if refresh.is_some() || !self.may_discard {
                return Err("not the refresh token that is alive");
            }
            self.refresh = None;
        }
        self.may_discard = false;
        if refresh.is_some() {
            let serial = self.valid(now).map(|token| token.serial);
            self.exclusive.unsure |= self.doubted;
            self.exclusive.begins(serial);
        }
        // Its cause may be over, if requests were waited for.
        self.begin(asked, waiting.is_some() || self.exclusive.on, now)
    }

    /// A fetch begins, or its second attempt.
    fn begin(&mut self, asked: bool, waited: bool, now: &Moment) -> Result<(), &'static str> {
        let may_fetch = self.backoff.may_try(now.awake);
        let retry = self.retry.take();
        self.for_longer = asked || waited || (retry.is_some() && self.for_longer);
        let needed = self.valid(now).is_none_or(|token| token.may_be_due(now));
        let other_cause = needed || asked || waited || self.doubted;
        let forced = match (&self.suspected[..], other_cause) {
            ([], _) => Forced::No,
            _ if self.valid(now).is_none() && !self.doubted => Forced::No,
            ([origin], false) => Forced::By(*origin),
            _ => Forced::Maybe,
        };
        match retry.filter(|retry| now.awake <= retry.until) {
            Some(Retry { must: true, .. }) => self.attempt = Attempt::Second,
            // Of a fetch that has begun now, perhaps.
            Some(_) => {
                (self.attempt, self.started) = (Attempt::Either, Some(now.awake));
                if self.forced != forced {
                    self.forced = Forced::Maybe;
                }
            }
            None if retry.is_some_and(|retry| retry.must) => {
                return Err("no second attempt");
            }
            None => {
                (self.attempt, self.started) = (Attempt::First, Some(now.awake));
                self.forced = forced;
                if !other_cause && self.suspected.is_empty() {
                    return Err("a fetch without a cause");
                }
                let by = match forced {
                    Forced::By(origin) => Some(origin),
                    _ => None,
                };
                self.origins.fetched(by, now)?;
            }
        }
        if may_fetch {
            Ok(())
        } else {
            Err("a fetch during its pause")
        }
    }

    /// Nothing more happens at this moment. Returns the promise that was not kept;
    /// the cache decides whether a fetch continues between two attempts.
    pub(crate) fn settled(&mut self, goes_on: bool, now: &Moment) -> Result<(), &'static str> {
        if self.login.take().is_some_and(|login| login.must) {
            return Err("no login after a refresh that failed");
        }
        if !goes_on {
            self.waiting = None;
        }
        let may_wait = self.exclusive.on || self.exclusive.unsure;
        match self.retry {
            Some(retry) if retry.must && !goes_on => Err("no second attempt"),
            // Another fetch may have begun when the second attempt was not made, and
            // waits for requests.
            Some(retry) if goes_on && may_wait && !retry.must && now.awake > retry.until => {
                self.retry = None;
                self.waiting.get_or_insert(now.awake);
                Ok(())
            }
            Some(retry) if goes_on && now.awake > retry.until => Err("a late second attempt"),
            // It may be discarded before the wait is over.
            None if goes_on && may_wait && (self.refresh.is_some() || self.waiting.is_some()) => {
                self.waiting.get_or_insert(now.awake);
                Ok(())
            }
            None if goes_on => Err("not the fetch under way"),
            Some(_) if !goes_on => {
                self.retry = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A request that was on its way is as if it had not been.
    pub(crate) fn runtime_ended(&mut self, was_fetching: bool, now: &Moment) {
        (self.login, self.too_short, self.retry) = (None, None, None);
        self.waiting = None;
        if was_fetching {
            self.exclusive.cut_off(now.awake);
        }
    }

    /// Everything that went wrong is forgotten.
    pub(crate) fn reset(&mut self) {
        (self.backoff, self.password_backoff, self.login_backoff) = Default::default();
        self.origins = Origins::default();
    }

    /// An origin accepted a token.
    pub(crate) fn accepted(&mut self, origin: usize, serial: u64, replayed: bool, now: &Moment) {
        if let Some(token) = self.token.filter(|token| token.serial == serial) {
            let dropped = self.doubted || !token.is_valid(now);
            self.origins.accepted(origin, &token, replayed, dropped);
        }
    }

    /// An origin rejected a token. What follows, as far as it is known.
    pub(crate) fn rejected(
        &mut self,
        origin: usize,
        serial: u64,
        replayed: bool,
        now: &Moment,
    ) -> Verdict {
        self.exclusive.rejected(serial, now.awake);
        let Some(token) = self.token.filter(|token| token.serial == serial) else {
            return Verdict::default();
        };
        // It is in use: no login for a longer life follows in its fetch.
        self.login.take_if(|login| {
            login
                .too_short
                .is_some_and(|(short, _)| short.serial == serial)
        });
        let dropped = self.doubted || !token.is_valid(now);
        let verdict = self
            .origins
            .rejected(origin, &token, replayed, dropped, now);
        match verdict.discards {
            Some(true) => self.refresh = None,
            Some(false) => {}
            None => self.may_discard |= token.refreshed,
        }
        if verdict.renews != Some(false) && !self.suspected.contains(&origin) {
            self.suspected.push(origin);
        }
        verdict
    }
}
