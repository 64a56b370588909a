//! The origins' rejections of tokens, and what follows for each.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::doubled;
use crate::moment::{Forced, Known, Moment};

/// How many origins there are.
pub(crate) const ORIGINS: usize = 3;

/// What follows from a rejection, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    /// A newer token is fetched.
    pub(crate) renews: Option<bool>,
    /// The refresh token is discarded.
    pub(crate) discards: Option<bool>,
}

impl Verdict {
    fn sure(renews: bool, discards: bool) -> Self {
        Self {
            renews: Some(renews),
            discards: Some(discards),
        }
    }
}

#[derive(Clone, Debug)]
struct Origin {
    /// Whether it was told of a rejection depended on what cannot be seen.
    unsure: bool,
    /// The token that it accepted last.
    accepted: u64,
    /// The token whose rejection was counted last.
    counted: u64,
    takes_refreshed: bool,
    /// It rejected the token of a login.
    rejects_logins: bool,
    /// Fetches in vain.
    vain: u32,
    held_until: Option<Instant>,
    lifted: bool,

    /// Since when it has accepted nothing.
    rejects_since: Option<Instant>,
    /// Fetches since then that nothing but its rejections called for, and others.
    forced: u32,
    others: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Origins([Origin; ORIGINS]);

impl Default for Origins {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Origin {
            unsure: false,
            accepted: 0,
            counted: 0,
            takes_refreshed: false,
            rejects_logins: false,
            vain: 0,
            held_until: None,
            lifted: false,
            rejects_since: None,
            forced: 0,
            others: 0,
        }))
    }
}

impl Origins {
    /// The origin rejected a token; `dropped`: the cache may have dropped it before.
    pub(crate) fn rejected(
        &mut self,
        at: usize,
        token: &Known,
        replayed: bool,
        dropped: bool,
        now: &Moment,
    ) -> Verdict {
        let origin = &mut self.0[at];
        origin.rejects_since.get_or_insert(now.awake);
        origin.unsure |= dropped;
        let unproven = replayed || origin.accepted != token.serial;
        origin.unsure |= unproven && token.forced == Forced::Maybe;
        if origin.unsure {
            return Verdict::default();
        }
        if origin.held_until.is_some_and(|until| now.awake < until) {
            return Verdict::sure(false, false);
        }
        let in_vain = unproven && token.forced == Forced::By(at);
        let discards =
            unproven && token.refreshed && !origin.takes_refreshed && !origin.rejects_logins;
        if unproven && !token.refreshed {
            origin.rejects_logins = in_vain;
        }
        if in_vain && origin.counted != token.serial {
            origin.counted = token.serial;
            origin.hold(now.awake);
            return Verdict::sure(false, discards);
        }
        Verdict::sure(true, discards)
    }

    pub(crate) fn accepted(&mut self, at: usize, token: &Known, replayed: bool, dropped: bool) {
        let origin = &mut self.0[at];
        origin.unsure |= dropped || (replayed && token.forced == Forced::Maybe);
        origin.accepted = token.serial;
        origin.takes_refreshed |= token.refreshed;
        origin.rejects_logins = false;
        if replayed && token.forced == Forced::By(at) {
            (origin.vain, origin.held_until, origin.lifted) = (0, None, false);
        } else if origin.vain > 0 && !origin.lifted {
            (origin.held_until, origin.lifted) = (None, true);
        }
        (origin.rejects_since, origin.forced, origin.others) = (None, 0, 0);
    }

    /// A fetch begins, which nothing but this origin's rejections calls for, or any
    /// other.
    pub(crate) fn fetched(
        &mut self,
        forced_by: Option<usize>,
        now: &Moment,
    ) -> Result<(), &'static str> {
        for (at, origin) in self.0.iter_mut().enumerate() {
            if forced_by != Some(at) {
                origin.others += 1;
                continue;
            }
            origin.forced += 1;
            let since = origin.rejects_since.unwrap_or(now.awake);
            // The first, one for each pause that was over, and one for each token
            // that came otherwise.
            if origin.forced > 1 + pauses_in(now.awake - since) + origin.others {
                return Err("an origin that always rejects costs too many fetches");
            }
        }
        Ok(())
    }
}

impl Origin {
    /// A second at first, then doubling to a minute; from the start after a calm.
    fn hold(&mut self, now: Instant) {
        let minute = Duration::from_secs(60);
        if self.held_until.is_some_and(|until| now > until + minute) {
            (self.vain, self.held_until, self.lifted) = (0, None, false);
        }
        let pause = doubled(Duration::from_secs(1), self.vain).min(minute);
        self.vain += 1;
        self.held_until = Some(now + pause);
    }
}

/// How many pauses of 1 s, doubling to a minute, begin in this time.
fn pauses_in(time: Duration) -> u32 {
    let (mut pauses, mut over) = (1, Duration::from_secs(1));
    while over <= time {
        pauses += 1;
        over += doubled(Duration::from_secs(1), pauses - 1).min(Duration::from_secs(60));
    }
    pauses
}
