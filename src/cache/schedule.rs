//! When a token is due, when it is expired, and how long to hold back after a
//! failure. Decisions only: no clock, no I/O, no randomness of its own
//! (`random` is a number from 0 up to 1 that the caller draws).

use std::time::Duration;

/// How far ahead of its end a token is renewed, and when it is given up.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    pub(crate) due_fraction: f64,
    pub(crate) due_max: Duration,
    pub(crate) due_jitter: f64,
    pub(crate) due_without_lifetime: Duration,
    pub(crate) expired_fraction: f64,
    pub(crate) expired_max: Duration,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            due_fraction: 0.2,
            due_max: Duration::from_secs(300),
            due_jitter: 0.1,
            due_without_lifetime: Duration::from_secs(300),
            expired_fraction: 0.1,
            expired_max: Duration::from_secs(10),
        }
    }
}

/// The ages at which a token changes its standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) due: Duration,
    /// `None`: valid until rejected.
    pub(crate) expired: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Fresh,
    /// Valid, and time to renew.
    Due,
    /// Must not be sent.
    Expired,
}

impl Windows {
    pub(crate) fn plan(&self, lifetime: Option<Duration>, random: f64) -> Plan {
        let jitter = 1.0 - self.due_jitter * random;
        let Some(lifetime) = lifetime else {
            return Plan {
                due: self.due_without_lifetime.mul_f64(jitter),
                expired: None,
            };
        };
        let window = lifetime
            .mul_f64(self.due_fraction)
            .min(self.due_max)
            .mul_f64(jitter);
        Plan {
            due: lifetime.saturating_sub(window),
            expired: Some(lifetime.saturating_sub(self.margin(lifetime))),
        }
    }

    /// The last part of a life, in which a token is no longer sent: it could
    /// expire on its way.
    pub(crate) fn margin(&self, lifetime: Duration) -> Duration {
        lifetime
            .mul_f64(self.expired_fraction)
            .min(self.expired_max)
    }
}

impl Plan {
    /// The plan of a token that was so old when its life here began.
    pub(crate) fn aged(self, age: Duration) -> Self {
        Self {
            due: self.due.saturating_sub(age),
            expired: self.expired.map(|expired| expired.saturating_sub(age)),
        }
    }

    pub(crate) fn standing(&self, age: Duration) -> Standing {
        match self.expired {
            Some(expired) if age >= expired => Standing::Expired,
            _ if age >= self.due => Standing::Due,
            _ => Standing::Fresh,
        }
    }
}

/// A pause that doubles from `first` to `max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ladder {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

impl Ladder {
    /// The pause after the `failures`th failure in a row, counted from 1.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

/// How long to hold back after failures.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    pub(crate) transient: Ladder,
    pub(crate) retry_after_max: Duration,
    pub(crate) refused: Ladder,
    pub(crate) forced: Ladder,
}

impl Default for Backoff {
    fn default() -> Self {
        let ladder = |first, max| Ladder { first, max };
        let (millis, secs) = (Duration::from_millis, Duration::from_secs);
        Self {
            transient: ladder(millis(250), secs(30)),
            retry_after_max: secs(300),
            refused: ladder(secs(60), secs(900)),
            forced: ladder(secs(1), secs(60)),
        }
    }
}

impl Backoff {
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
        let asked = retry_after.unwrap_or_default().min(self.retry_after_max);
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
            let plan = Windows::default().plan(lifetime.map(Duration::from_secs_f64), random);
            let close = |a: Duration, b: f64| (a.as_secs_f64() - b).abs() < 1e-6;
            assert!(close(plan.due, due), "{lifetime:?} {random}: {plan:?}");
            match (plan.expired, expired) {
                (None, None) => {}
                (Some(a), Some(b)) if close(a, b) => {}
                _ => panic!("{lifetime:?} {random}: {plan:?}"),
            }
        }
    }

    #[test]
    fn a_very_long_life_does_not_overflow() {
        let plan = Windows::default().plan(Some(secs(u32::MAX.into()) * 1000), 0.5);
        assert_eq!(plan.standing(secs(1)), Standing::Fresh);
    }

    #[test]
    fn standing_changes_at_its_ages() {
        let plan = Plan {
            due: secs(80),
            expired: Some(secs(90)),
        };
        for (age, standing) in [
            (0, Standing::Fresh),
            (79, Standing::Fresh),
            (80, Standing::Due),
            (89, Standing::Due),
            (90, Standing::Expired),
            (100_000, Standing::Expired),
        ] {
            assert_eq!(plan.standing(secs(age)), standing, "{age}");
        }
        let endless = Plan {
            due: secs(80),
            expired: None,
        };
        assert_eq!(endless.standing(secs(100_000)), Standing::Due);
    }

    #[test]
    fn pauses_double_up_to_their_maximum() {
        let backoff = Backoff::default();
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
        let backoff = Backoff::default();
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
