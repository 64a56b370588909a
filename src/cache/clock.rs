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

    /// Whether the coarse clock tells this clock's time.
    pub(crate) fn has_coarse_clock(&self) -> bool {
        self.wall.is_none() && !tokio_time_is_paused()
    }

    /// Until when a glance is enough, if nothing happens for the span `quiet`.
    pub(crate) fn coarse_limit(&self, quiet: Duration) -> CoarseTime {
        if quiet.is_zero() || !self.has_coarse_clock() {
            return CoarseTime::NEVER;
        }
        let quiet = quiet.saturating_sub(COARSE_TICK);
        let quiet = u64::try_from(quiet.as_nanos()).unwrap_or(u64::MAX);
        CoarseTime(CoarseTime::now().0.saturating_add(quiet))
    }
}

/// More than a coarse clock lags behind: Linux moves it 100 times a second at
/// the least.
const COARSE_TICK: Duration = Duration::from_millis(10);

/// The wall clock as the hot path reads it: cheap and a little late, in
/// nanoseconds since 1970. What the monotonic clock has to add is the sentry's
/// work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoarseTime(pub(crate) u64);

impl CoarseTime {
    /// A limit that is always over.
    pub(crate) const NEVER: Self = Self(0);

    #[cfg(target_os = "linux")]
    #[inline]
    pub(crate) fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::RealtimeCoarse);
        // A negative time, before 1970, becomes one that is over every limit.
        Self(
            (time.tv_sec as u64)
                .wrapping_mul(1_000_000_000)
                .wrapping_add(time.tv_nsec as u64),
        )
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(wall.map_or(u64::MAX, |wall| {
            u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)
        }))
    }
}

/// Whether tokio's clock stands still while the machine's goes on. Asked when a
/// token comes and at each closer look, so a test has to pause the time before
/// its first token.
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
