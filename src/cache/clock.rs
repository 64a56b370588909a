//! Time, read from two clocks.
//!
//! The monotonic clock (tokio's, so that paused time works) stands still while
//! the machine is suspended; the wall clock does not, but can be set. A span is
//! as long as the longer of the two says, so a token is never taken to be
//! younger than it is.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A point in time on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) monotonic: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    /// How much time has passed since `earlier`; zero if it lies ahead.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        monotonic.max(wall)
    }
}

#[derive(Clone, Default)]
pub(crate) struct Clock {
    wall: Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>,
}

impl Clock {
    pub(crate) fn with_wall(wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            wall: Some(Arc::new(wall)),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            monotonic: Instant::now(),
            wall: self
                .wall
                .as_ref()
                .map_or_else(SystemTime::now, |wall| wall()),
        }
    }

    /// Until when a glance at the coarse clocks is enough, if nothing happens
    /// for the span `quiet`. At once, where they do not tell this clock's time.
    pub(crate) fn glance_limit(&self, quiet: Duration) -> Glance {
        if self.wall.is_some() || tokio_time_is_paused() {
            return Glance::ZERO;
        }
        let quiet = quiet.saturating_sub(COARSE_TICK);
        let quiet = u64::try_from(quiet.as_nanos()).unwrap_or(u64::MAX);
        let now = Glance::now();
        Glance {
            monotonic: now.monotonic.saturating_add(quiet),
            wall: now.wall.saturating_add(quiet),
        }
    }
}

/// More than a coarse clock lags behind: Linux moves them 100 times a second
/// at the least.
const COARSE_TICK: Duration = Duration::from_millis(10);

/// Both clocks as the hot path reads them: cheap and a little late.
/// Nanoseconds since an epoch of each clock's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) monotonic: u64,
    pub(crate) wall: u64,
}

impl Glance {
    pub(crate) const ZERO: Self = Self {
        monotonic: 0,
        wall: 0,
    };

    #[cfg(target_os = "linux")]
    #[inline]
    pub(crate) fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        let read = |clock| {
            let time = clock_gettime(clock);
            (time.tv_sec as u64)
                .wrapping_mul(1_000_000_000)
                .wrapping_add(time.tv_nsec as u64)
        };
        Self {
            monotonic: read(ClockId::MonotonicCoarse),
            wall: read(ClockId::RealtimeCoarse),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Self {
        use std::sync::LazyLock;
        static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            monotonic: nanos(START.elapsed()),
            wall: nanos(wall.unwrap_or_default()),
        }
    }
}

/// Whether tokio's clock stands still while the machine's goes on.
fn tokio_time_is_paused() -> bool {
    let before = Instant::now();
    let start = std::time::Instant::now();
    while start.elapsed().is_zero() {
        std::hint::spin_loop();
    }
    Instant::now() == before
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.wall.is_some() {
            "Clock(own wall clock)"
        } else {
            "Clock"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(moment: Moment, monotonic: u64, wall: i64) -> Moment {
        let shift = Duration::from_secs(wall.unsigned_abs());
        Moment {
            monotonic: moment.monotonic + Duration::from_secs(monotonic),
            wall: if wall < 0 {
                moment.wall - shift
            } else {
                moment.wall + shift
            },
        }
    }

    #[test]
    fn the_clock_that_went_further_rules() {
        let start = Clock::default().now();
        for (monotonic, wall, span) in [
            (0, 0, 0),
            (10, 10, 10),
            (10, 3600, 3600), // suspended
            (10, -3600, 10),  // set back
        ] {
            let now = after(start, monotonic, wall);
            assert_eq!(
                now.since(&start),
                Duration::from_secs(span),
                "{monotonic} {wall}"
            );
        }
        assert_eq!(start.since(&after(start, 5, 5)), Duration::ZERO);
    }

    #[test]
    fn paused_time_is_told_from_time_that_runs() {
        let runtime = |paused| {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(paused)
                .build()
                .expect("runtime")
        };
        assert!(!tokio_time_is_paused());
        assert!(!runtime(false).block_on(async { tokio_time_is_paused() }));
        assert!(runtime(true).block_on(async { tokio_time_is_paused() }));
    }
}
