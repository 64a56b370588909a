//! The pauses that failed token requests lead to.

use std::time::Duration;

use tokio::time::Instant;

/// The pauses after refusals, each up to a quarter longer.
const REFUSED: [u64; 4] = [60, 600, 3600, 6 * 3600];

/// What failures lead to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    /// In a row: 429 and 5xx if a person's account may be locked.
    deferred: u32,
    refusals: u32,
    /// No attempt before the first, and none is denied from the second on.
    pause: Option<(Instant, Instant)>,
}

impl Backoff {
    pub(crate) fn may_try(&self, now: Instant) -> bool {
        self.pause.is_none_or(|(least, _)| now >= least)
    }

    pub(crate) fn may_deny(&self, now: Instant) -> bool {
        self.pause.is_some_and(|(_, most)| now < most)
    }

    /// From when on an attempt may be made, and from when on none is denied.
    pub(crate) fn pause(&self) -> Option<(Instant, Instant)> {
        self.pause
    }

    /// Nothing was answered: a random pause, but no shorter than asked for.
    pub(crate) fn failed(&mut self, asked: Option<Duration>, now: Instant) {
        let asked = asked.unwrap_or_default().min(Duration::from_secs(300));
        let bound = doubled(Duration::from_millis(250), self.failures).min(Duration::from_secs(30));
        self.failures += 1;
        self.pause = Some((now + asked, now + bound.max(asked)));
    }

    /// The credentials of a person were answered by a 429 or a 5xx.
    pub(crate) fn deferred(&mut self, now: Instant) {
        let pause = doubled(Duration::from_secs(5), self.deferred).min(Duration::from_secs(300));
        self.deferred += 1;
        self.pause = Some((now + pause, now + pause.mul_f64(1.25)));
    }

    /// The last failure may count for nothing: then what was there `before` holds.
    pub(crate) fn may_be(&mut self, before: &Self, now: Instant) {
        let earliest = before.pause.map_or(now, |(least, _)| least);
        if let Some((least, _)) = &mut self.pause {
            *least = earliest.min(*least);
        }
    }

    /// The refusal that `other` counts holds here too.
    pub(crate) fn refused_with(&mut self, other: &Self) {
        (self.failures, self.deferred) = (0, 0);
        self.pause = other.pause;
    }

    pub(crate) fn refused(&mut self, now: Instant) {
        let step = REFUSED.len().min(self.refusals as usize + 1) - 1;
        let pause = Duration::from_secs(REFUSED[step]);
        self.refusals += 1;
        (self.failures, self.deferred) = (0, 0);
        self.pause = Some((now + pause, now + pause.mul_f64(1.25)));
    }
}

pub(crate) fn doubled(first: Duration, times: u32) -> Duration {
    first * 2_u32.pow(times.min(10))
}
