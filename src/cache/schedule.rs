//! When a token is due, when it is expired, and how long to wait after a
//! failure. Decisions only: no clock, no I/O, no randomness of its own (`random`
//! is a number from 0 up to 1 that the caller draws).

use std::time::Duration;

use crate::cache::settings::{Backoff, Settings, Window};

/// The ages at which a token's freshness changes.
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

impl Window {
    /// How long this is for a token of that lifetime.
    pub(crate) fn of(&self, lifetime: Duration) -> Duration {
        lifetime.mul_f64(self.fraction).min(self.max)
    }
}

impl Schedule {
    pub(crate) fn new(settings: &Settings, lifetime: Option<Duration>, random: f64) -> Self {
        let jitter = 1.0 - settings.renew_jitter * random;
        let Some(lifetime) = lifetime else {
            return Self {
                due: settings.renew_unknown_lifetime_after.mul_f64(jitter),
                expired: None,
            };
        };
        let window = settings.renew_before.of(lifetime).mul_f64(jitter);
        let margin = settings.expiry_margin.of(lifetime);
        Self {
            due: lifetime.saturating_sub(window),
            expired: Some(lifetime.saturating_sub(margin)),
        }
    }

    /// The schedule of a token that was this old when its life here began.
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

impl Backoff {
    /// The pause after the `failures`th failure in a row, counted from 1.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

/// The pause after the `failures`th failure in a row of its kind. Full jitter
/// after a transient failure, but never before the time that the endpoint asked
/// for; none after a refusal, which no other process waits out.
pub(crate) fn pause(
    settings: &Settings,
    refused: bool,
    failures: u32,
    retry_after: Option<Duration>,
    random: f64,
) -> Duration {
    let asked = retry_after
        .unwrap_or_default()
        .min(settings.max_retry_after);
    let own = if refused {
        settings.refusal_backoff.pause(failures)
    } else {
        settings.backoff.pause(failures).mul_f64(random)
    };
    own.max(asked)
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
            let schedule = Schedule::new(
                &Settings::default(),
                lifetime.map(Duration::from_secs_f64),
                random,
            );
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
        let schedule = Schedule::new(
            &Settings::default(),
            Some(secs(u32::MAX.into()) * 1000),
            0.5,
        );
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
        let settings = Settings::default();
        for (failures, refused, forced) in [
            (1, 60, 1),
            (2, 120, 2),
            (4, 480, 8),
            (5, 900, 16),
            (7, 900, 60),
            (u32::MAX, 900, 60),
        ] {
            assert_eq!(
                settings.refusal_backoff.pause(failures),
                secs(refused),
                "{failures}"
            );
            assert_eq!(
                settings.rejection_backoff.pause(failures),
                secs(forced),
                "{failures}"
            );
        }
        for (failures, most) in [(1, 250), (2, 500), (8, 30_000), (100, 30_000)] {
            let most = Duration::from_millis(most);
            assert_eq!(pause(&settings, false, failures, None, 1.0), most);
            assert_eq!(pause(&settings, false, failures, None, 0.0), Duration::ZERO);
        }
    }

    #[test]
    fn retry_after_is_a_lower_bound_with_a_limit() {
        let settings = Settings::default();
        for (refused, asked, expected) in [
            (false, 7, 7),
            (false, 0, 0),
            (false, 100_000, 300),
            (true, 7, 60),
            (true, 120, 120),
        ] {
            assert_eq!(
                pause(&settings, refused, 1, Some(secs(asked)), 0.0),
                secs(expected)
            );
        }
    }
}
