//! When a token is due, when it is expired, and how long to hold back after a
//! failure. Decisions only: no clock, no I/O, no randomness of its own
//! (`random` is a number from 0 up to 1 that the caller draws).

use std::time::Duration;

/// How far ahead of its end a token is renewed, and when it is given up.
#[derive(Clone, Debug)]
pub(crate) struct ExpiryPolicy {
    pub(crate) renew_before_fraction: f64,
    pub(crate) renew_before_max: Duration,
    pub(crate) renew_jitter: f64,
    pub(crate) renew_unknown_lifetime_after: Duration,
    pub(crate) expiry_margin_fraction: f64,
    pub(crate) expiry_margin_max: Duration,
}

impl Default for ExpiryPolicy {
    fn default() -> Self {
        Self {
            renew_before_fraction: 0.2,
            renew_before_max: Duration::from_secs(300),
            renew_jitter: 0.1,
            renew_unknown_lifetime_after: Duration::from_secs(300),
            expiry_margin_fraction: 0.1,
            expiry_margin_max: Duration::from_secs(10),
        }
    }
}

/// The ages at which a token changes its freshness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) due: Duration,
    /// `None`: valid until rejected.
    pub(crate) expired: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// Valid, and time to renew.
    Due,
    /// Must not be sent.
    Expired,
}

impl ExpiryPolicy {
    pub(crate) fn schedule(&self, lifetime: Option<Duration>, random: f64) -> Schedule {
        let jitter = 1.0 - self.renew_jitter * random;
        let Some(lifetime) = lifetime else {
            return Schedule {
                due: self.renew_unknown_lifetime_after.mul_f64(jitter),
                expired: None,
            };
        };
        let window = lifetime
            .mul_f64(self.renew_before_fraction)
            .min(self.renew_before_max)
            .mul_f64(jitter);
        Schedule {
            due: lifetime.saturating_sub(window),
            expired: Some(lifetime.saturating_sub(self.margin(lifetime))),
        }
    }

    /// The last part of a life, in which a token is no longer sent: it could
    /// expire on its way.
    pub(crate) fn margin(&self, lifetime: Duration) -> Duration {
        lifetime
            .mul_f64(self.expiry_margin_fraction)
            .min(self.expiry_margin_max)
    }
}

impl Schedule {
    /// The schedule of a token that was so old when its life here began.
    pub(crate) fn aged(self, age: Duration) -> Self {
        Self {
            due: self.due.saturating_sub(age),
            expired: self.expired.map(|expired| expired.saturating_sub(age)),
        }
    }

    pub(crate) fn freshness(&self, age: Duration) -> Freshness {
        match self.expired {
            Some(expired) if age >= expired => Freshness::Expired,
            _ if age >= self.due => Freshness::Due,
            _ => Freshness::Fresh,
        }
    }
}

/// A pause that doubles from `first` to `max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// The pause after the `failures`th failure in a row, counted from 1.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

/// How long to hold back after failures.
#[derive(Clone, Debug)]
pub(crate) struct Backoffs {
    pub(crate) transient: Backoff,
    pub(crate) max_retry_after: Duration,
    pub(crate) refused: Backoff,
    pub(crate) forced: Backoff,
}

impl Default for Backoffs {
    fn default() -> Self {
        let ladder = |first, max| Backoff { first, max };
        let (millis, secs) = (Duration::from_millis, Duration::from_secs);
        Self {
            transient: ladder(millis(250), secs(30)),
            max_retry_after: secs(300),
            refused: ladder(secs(60), secs(900)),
            forced: ladder(secs(1), secs(60)),
        }
    }
}

impl Backoffs {
    /// The pause after the `failures`th failure in a row of its sort. Full
    /// jitter for what passes by itself, but never before the time that the
    /// endpoint asked for; none for a refusal, which nobody else waits out.
    pub(crate) fn pause(
        &self,
        refused: bool,
        failures: u32,
        retry_after: Option<Duration>,
        random: f64,
    ) -> Duration {
        let asked = retry_after.unwrap_or_default().min(self.max_retry_after);
        let own = if refused {
            self.refused.pause(failures)
        } else {
            self.transient.pause(failures).mul_f64(random)
        };
        own.max(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn due_and_expired_follow_the_lifetime() {
        for (lifetime, random, due, expired) in [
            // VoIPex: 300 s before the end, less up to 30 s at random.
            (Some(3000.0), 0.0, 2700.0, Some(2990.0)),
            (Some(3000.0), 1.0, 2730.0, Some(2990.0)),
            (Some(60.0), 0.0, 48.0, Some(54.0)),
            (Some(1.0), 0.0, 0.8, Some(0.9)),
            (Some(1.0), 1.0, 0.82, Some(0.9)),
            (Some(0.0), 0.5, 0.0, Some(0.0)),
            (None, 0.0, 300.0, None),
            (None, 1.0, 270.0, None),
        ] {
            let schedule =
                ExpiryPolicy::default().schedule(lifetime.map(Duration::from_secs_f64), random);
            let close = |a: Duration, b: f64| (a.as_secs_f64() - b).abs() < 1e-6;
            assert!(
                close(schedule.due, due),
                "{lifetime:?} {random}: {schedule:?}"
            );
            match (schedule.expired, expired) {
                (None, None) => {}
                (Some(a), Some(b)) if close(a, b) => {}
                _ => panic!("{lifetime:?} {random}: {schedule:?}"),
            }
        }
    }

    #[test]
    fn a_very_long_life_does_not_overflow() {
        let schedule = ExpiryPolicy::default().schedule(Some(secs(u32::MAX.into()) * 1000), 0.5);
        assert_eq!(schedule.freshness(secs(1)), Freshness::Fresh);
    }

    #[test]
    fn standing_changes_at_its_ages() {
        let schedule = Schedule {
            due: secs(80),
            expired: Some(secs(90)),
        };
        for (age, freshness) in [
            (0, Freshness::Fresh),
            (79, Freshness::Fresh),
            (80, Freshness::Due),
            (89, Freshness::Due),
            (90, Freshness::Expired),
            (100_000, Freshness::Expired),
        ] {
            assert_eq!(schedule.freshness(secs(age)), freshness, "{age}");
        }
        let endless = Schedule {
            due: secs(80),
            expired: None,
        };
        assert_eq!(endless.freshness(secs(100_000)), Freshness::Due);
    }

    #[test]
    fn pauses_double_up_to_their_maximum() {
        let backoff = Backoffs::default();
        for (failures, refused, forced) in [
            (1, 60, 1),
            (2, 120, 2),
            (4, 480, 8),
            (5, 900, 16),
            (7, 900, 60),
            (u32::MAX, 900, 60),
        ] {
            assert_eq!(backoff.refused.pause(failures), secs(refused), "{failures}");
            assert_eq!(backoff.forced.pause(failures), secs(forced), "{failures}");
        }
        for (failures, most) in [(1, 250), (2, 500), (8, 30_000), (100, 30_000)] {
            let most = Duration::from_millis(most);
            assert_eq!(backoff.pause(false, failures, None, 1.0), most);
            assert_eq!(backoff.pause(false, failures, None, 0.0), Duration::ZERO);
        }
    }

    #[test]
    fn retry_after_is_a_lower_bound_with_a_limit() {
        let backoff = Backoffs::default();
        for (refused, asked, pause) in [
            (false, 7, 7),
            (false, 0, 0),
            (false, 100_000, 300),
            (true, 7, 60),
            (true, 120, 120),
        ] {
            assert_eq!(
                backoff.pause(refused, 1, Some(secs(asked)), 0.0),
                secs(pause)
            );
        }
    }
}
