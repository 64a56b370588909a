//! When a token is due, when it is expired, and how long to wait after a failure.
//! Decisions only: no clock, no I/O, no randomness (`random` is a number from 0 up
//! to 1 that the caller draws).

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
    /// Valid, but due for renewal.
    Due,
    /// Must not be sent.
    Expired,
}

/// What a failure means for the credentials that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureClass {
    /// They were answered, neither with a token nor with a transient failure.
    Refused,
    /// They were answered with a transient failure: 429 or 5xx.
    Deferred,
    /// They were not answered.
    Unanswered,
}

impl Window {
    /// Returns the length of this window for a token of that lifetime.
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

    /// Returns the schedule of a token that was this old when its life here began.
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
    /// Returns the pause after the `failures`th failure in a row, counted from 1.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

/// The pauses after refusals of a person's credentials, as multiples of the first.
/// Servers lock an account after a few refusals, for hours or permanently.
const REFUSAL_STEPS: [u32; 4] = [1, 10, 60, 360];

/// Returns the pause after a failure, the `count`th of its class, counted from 1; at
/// least the time that the endpoint asked for. `locks`: such failures may lock a
/// person's account.
pub(crate) fn pause(
    settings: &Settings,
    class: FailureClass,
    locks: bool,
    count: u32,
    retry_after: Option<Duration>,
    random: f64,
) -> Duration {
    let asked = retry_after
        .unwrap_or_default()
        .min(settings.max_retry_after);
    // Longer by up to a quarter: an attempt that counts must not come sooner.
    let later = |pause: Duration| pause.mul_f64(1.0 + random / 4.0);
    let own = match class {
        FailureClass::Refused if locks => {
            let Backoff { first, max } = settings.refusal_backoff;
            let step = count.clamp(1, REFUSAL_STEPS.len() as u32) - 1;
            let steps = REFUSAL_STEPS[step as usize];
            later(first.saturating_mul(steps).min(max))
        }
        FailureClass::Refused => later(settings.client_refusal_backoff.pause(count)),
        FailureClass::Deferred if locks => later(settings.deferred_backoff.pause(count)),
        // Full jitter: these attempts do not count, and many processes wait for the
        // same thing.
        _ => settings.backoff.pause(count).mul_f64(random),
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
    fn pauses_grow_up_to_their_maximum() {
        use FailureClass::{Deferred, Refused, Unanswered};
        let settings = Settings::default();
        let millis = Duration::from_millis;
        // Class, locks, count, pause without and with all of the randomness.
        for (class, locks, count, least, most) in [
            (Refused, true, 1, secs(60), secs(75)),
            (Refused, true, 2, secs(600), secs(750)),
            (Refused, true, 3, secs(3600), secs(4500)),
            (Refused, true, 4, secs(6 * 3600), secs(27_000)),
            (Refused, true, u32::MAX, secs(6 * 3600), secs(27_000)),
            (Refused, false, 1, secs(5), millis(6250)),
            (Refused, false, 2, secs(10), millis(12_500)),
            (Refused, false, 20, secs(900), secs(1125)),
            (Deferred, true, 1, secs(5), millis(6250)),
            (Deferred, true, 20, secs(300), secs(375)),
            (Deferred, false, 1, secs(0), millis(250)),
            (Unanswered, true, 1, secs(0), millis(250)),
            (Unanswered, true, 2, secs(0), millis(500)),
            (Unanswered, false, 100, secs(0), secs(30)),
        ] {
            let pause = |random| pause(&settings, class, locks, count, None, random);
            assert_eq!(pause(0.0), least, "{class:?} {locks} {count}");
            assert_eq!(pause(1.0), most, "{class:?} {locks} {count}");
        }
    }

    #[test]
    fn refusals_of_a_person_come_five_times_in_twelve_hours_at_the_most() {
        let settings = Settings::default();
        let (mut at, mut attempts) = (Duration::ZERO, 0);
        while at <= secs(12 * 3600) {
            attempts += 1;
            at += pause(&settings, FailureClass::Refused, true, attempts, None, 0.0);
        }
        assert_eq!(attempts, 5);
    }

    #[test]
    fn retry_after_is_a_lower_bound_with_a_limit() {
        use FailureClass::{Refused, Unanswered};
        for (class, asked, least) in [
            (Unanswered, 7, 7),
            (Unanswered, 0, 0),
            (Unanswered, 100_000, 300),
            (Refused, 7, 60),
            (Refused, 120, 120),
        ] {
            let settings = Settings::default();
            assert_eq!(
                pause(&settings, class, true, 1, Some(secs(asked)), 0.0),
                secs(least)
            );
        }
    }

    #[test]
    fn a_backoff_doubles_up_to_its_maximum() {
        let rejection = Settings::default().rejection_backoff;
        for (failures, pause) in [(1, 1), (2, 2), (4, 8), (7, 60), (u32::MAX, 60)] {
            assert_eq!(rejection.pause(failures), secs(pause), "{failures}");
        }
    }
}
