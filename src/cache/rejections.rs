//! Renewals forced by a 401: when they help and when to stop trying.
//!
//! A 401 says that a token was rejected, not why. If a fresh token is rejected
//! as well, renewing did not help, and each further attempt is held back
//! longer. The first success after that lifts the hold, for then the API takes
//! tokens again. If it turns out that successes and fruitless renewals go on side
//! by side (one route of the API answers 401 for reasons of its own), a success
//! proves nothing any more, and only a replay that helped, or a long calm,
//! starts afresh.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::settings::Backoff;

#[derive(Debug, Default)]
pub(crate) struct RejectionBackoff {
    fruitless: u32,
    until: Option<Instant>,
    lifted: bool,
}

impl RejectionBackoff {
    /// How long forced renewals are still held back.
    pub(crate) fn backoff_left(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// A token that a forced renewal fetched was rejected as well.
    pub(crate) fn was_fruitless(&mut self, now: Instant, backoff: &Backoff) {
        if self.until.is_some_and(|until| now > until + backoff.max) {
            *self = Self::default();
        }
        self.fruitless = self.fruitless.saturating_add(1);
        self.until = Some(now + backoff.pause(self.fruitless));
    }

    /// A request was accepted; `helped` if it was a replay with the token of a
    /// forced renewal.
    pub(crate) fn accepted(&mut self, helped: bool) {
        if helped {
            *self = Self::default();
        } else if self.wants_success() {
            self.until = None;
            self.lifted = true;
        }
    }

    /// Whether a success would change anything.
    pub(crate) fn wants_success(&self) -> bool {
        self.fruitless > 0 && !self.lifted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        max: Duration::from_secs(60),
    };

    fn held(forced: &RejectionBackoff, now: Instant) -> u64 {
        forced.backoff_left(now).unwrap_or_default().as_secs()
    }

    #[test]
    fn useless_renewals_are_held_back_longer_each_time() {
        let (mut forced, mut now) = (RejectionBackoff::default(), Instant::now());
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(held(&forced, now), 0);
            forced.was_fruitless(now, &BACKOFF);
            assert_eq!(held(&forced, now), pause);
            now += Duration::from_secs(pause);
        }
    }

    #[test]
    fn the_first_success_lifts_the_hold() {
        let (mut forced, now) = (RejectionBackoff::default(), Instant::now());
        forced.was_fruitless(now, &BACKOFF);
        forced.accepted(false);
        assert_eq!(held(&forced, now), 0);
    }

    #[test]
    fn successes_beside_useless_renewals_lift_it_once_only() {
        let (mut forced, mut now) = (RejectionBackoff::default(), Instant::now());
        forced.was_fruitless(now, &BACKOFF);
        forced.accepted(false);
        for pause in [2, 4, 8] {
            forced.was_fruitless(now, &BACKOFF);
            forced.accepted(false);
            assert_eq!(held(&forced, now), pause);
            now += Duration::from_secs(pause);
        }
        forced.accepted(true);
        forced.was_fruitless(now, &BACKOFF);
        assert_eq!(held(&forced, now), 1, "a replay that helped starts afresh");
        now += Duration::from_secs(1 + 61);
        forced.was_fruitless(now, &BACKOFF);
        assert_eq!(held(&forced, now), 1, "so does a long calm");
    }
}
