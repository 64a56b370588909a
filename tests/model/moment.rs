//! Time on two clocks, and tokens whose lives depend on it.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The default of [`tower_bearer::TokenCacheBuilder::wait_timeout`].
pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// Timers go off up to a millisecond late.
pub(crate) const TICK: Duration = Duration::from_millis(1);

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

/// The rejection that led to a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Forced {
    #[default]
    No,
    /// By that of this origin.
    By(usize),
    /// By one, perhaps.
    Maybe,
}

/// A token of either sort, as its receiver knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) serial: u64,
    pub(crate) born: Moment,
    pub(crate) lifetime: Option<Duration>,
    /// It came by a refresh token.
    pub(crate) refreshed: bool,
    pub(crate) forced: Forced,
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

    pub(crate) fn lives_for(&self, span: Duration, now: &Moment) -> bool {
        let needed = self.born.age(now) + span;
        self.end().is_none_or(|end| needed <= end)
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
