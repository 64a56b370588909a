//! What follows from the responses of the token endpoint.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::cache::reference::{Attempt, LONGEST_WAIT, Login, Reference, Retry, Yield};
use crate::moment::{Known, Moment, TICK, WAIT};

impl Reference {
    /// A token came, perhaps with a refresh token.
    pub(crate) fn issued(&mut self, token: Known, refresh: Option<Known>, now: &Moment) {
        if token.refreshed {
            self.exclusive.answered(true, now.awake);
        }
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
        self.exclusive.over(now.awake);
        // A login says nothing of how refreshes fare.
        if token.refreshed {
            self.failed_refreshes = 0;
        }
        if !token.refreshed {
            (self.password_backoff, self.login_backoff) = Default::default();
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
            let forced = self.forced;
            self.token = Some(Known { forced, ..token });
            self.last = Some(token.serial);
            self.doubted = false;
            self.suspected.clear();
            self.backoff = Backoff::default();
        } else {
            self.backoff.failed(None, now.awake);
        }
    }

    /// A transient failure; `refreshing`: of a request with a refresh token.
    pub(crate) fn failed(
        &mut self,
        refreshing: bool,
        unconnected: bool,
        asked: Option<Duration>,
        now: &Moment,
    ) {
        if refreshing {
            self.exclusive.answered(!unconnected, now.awake);
        }
        self.exclusive.over(now.awake);
        if let Some(short) = self.too_short.take() {
            // The token of the refresh will do.
            self.take_in(short, now);
            return self.login_backoff.failed(asked, now.awake);
        }
        if refreshing {
            self.failed_refreshes += 1;
        }
        let before = Box::new(self.clone());
        self.backoff.failed(asked, now.awake);
        let served = self.valid(now).is_some();
        // Of a login: the refresh token may end before the second attempt.
        let denied = self.password_backoff.may_deny(now.awake);
        if unconnected && self.attempt != Attempt::Second {
            let (least, most) = self.backoff.pause().expect("it has failed");
            // It may have waited for requests before this one came.
            let waited = match self.exclusive.on || self.exclusive.unsure {
                true => LONGEST_WAIT,
                false => Duration::ZERO,
            };
            let spent = |until: Instant| self.started.map(|started| until - started);
            if spent(least).is_some_and(|spent| spent < WAIT) {
                let surely = spent(most).is_some_and(|spent| spent + waited < WAIT);
                self.retry = Some(Retry {
                    until: most + waited + TICK,
                    must: surely && !served && !denied && self.attempt == Attempt::First,
                });
            }
        }
        if refreshing && self.failed_refreshes >= 2 {
            if !served {
                self.retry = None;
            }
            if !served && denied {
                // Then the refresh that failed counts for nothing.
                self.backoff.may_be(&before.backoff, now.awake);
            }
            let must = !served && !denied;
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
        self.exclusive.over(now.awake);
        self.password_backoff.refused(now.awake);
        if let Some(short) = self.too_short.take() {
            self.take_in(short, now);
            self.login_backoff.refused_with(&self.password_backoff);
        }
    }

    /// The refresh token was refused.
    pub(crate) fn refused_refresh(&mut self, now: &Moment) {
        self.exclusive.answered(false, now.awake);
        self.refresh = None;
        self.failed_refreshes += 1;
        self.login = Some(Login {
            at: now.awake,
            must: !self.password_backoff.may_deny(now.awake),
            before: Box::new(self.clone()),
            too_short: None,
        });
    }
}
