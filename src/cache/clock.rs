//! Time, read from two clocks.
//!
//! The monotonic clock (tokio's, so that paused time works) stops while the machine
//! is suspended; the wall clock does not, but can be set. Elapsed time is the longer
//! of the two, so a token is never taken for younger than it is.

use std::cell::Cell;
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
    /// Returns the current time, by this wall clock or the system's.
    pub(crate) fn at(wall: Option<SystemTime>) -> Self {
        Self {
            monotonic: Instant::now(),
            wall: wall.unwrap_or_else(SystemTime::now),
        }
    }

    /// Returns the time that has passed since `earlier`; zero if that is in the
    /// future.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        monotonic.max(wall)
    }
}

/// The two clocks.
#[derive(Clone, Default)]
pub(crate) struct Clock {
    wall: Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>,
}

thread_local! {
    /// Whether the user's wall clock is being read on this thread.
    static IN_WALL_CLOCK: Cell<bool> = const { Cell::new(false) };
}

impl Clock {
    pub(crate) fn with_wall(wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            wall: Some(Arc::new(wall)),
        }
    }

    /// Returns the time on both clocks. Call it without a lock: see
    /// [`user_wall`](Self::user_wall).
    pub(crate) fn now(&self) -> Moment {
        Moment::at(self.user_wall())
    }

    /// Returns the time on the user's wall clock, if there is one. Call it without a
    /// lock: the clock may call the cache, which then reads the system's clock.
    pub(crate) fn user_wall(&self) -> Option<SystemTime> {
        let wall = self.wall.as_ref()?;
        if IN_WALL_CLOCK.replace(true) {
            return None;
        }
        let _reset = ResetOnDrop;
        Some(wall())
    }

    /// Returns whether the coarse clock shows this clock's time.
    pub(crate) fn has_coarse_clock(&self) -> bool {
        self.wall.is_none() && !tokio_time_is_paused()
    }

    /// Returns from when on the coarse clock alone suffices, for [`FAST_WINDOW`], if
    /// nothing happens for the time `quiet`.
    pub(crate) fn fast_from(&self, quiet: Duration) -> CoarseTime {
        if quiet <= COARSE_TICK || !self.has_coarse_clock() {
            return CoarseTime::NEVER;
        }
        // Later than the window's start by a tick, so that a clock which is set back
        // by less than that changes nothing.
        let length = nanos(quiet.saturating_sub(COARSE_TICK)).min(FAST_WINDOW - nanos(COARSE_TICK));
        let end = CoarseTime::now().0.saturating_add(length);
        CoarseTime(end.saturating_sub(FAST_WINDOW))
    }
}

struct ResetOnDrop;

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        IN_WALL_CLOCK.set(false);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// More than a coarse clock lags: Linux updates it at least 100 times a second.
const COARSE_TICK: Duration = Duration::from_millis(10);

/// How long the hot path relies on the coarse clock alone, in nanoseconds. The
/// coarse clock shows that the machine was suspended, but it can be set back. That
/// is noticed at the latest when this time has passed on it, or at once if it is
/// before the window's start.
pub(crate) const FAST_WINDOW: u64 = 1_000_000_000;

/// The wall clock as the hot path reads it: cheap and slightly late, in nanoseconds
/// since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoarseTime(pub(crate) u64);

impl CoarseTime {
    /// The start of an empty window.
    pub(crate) const NEVER: Self = Self(0);

    /// Stands still in loom's model: a window that ends between two runs of one
    /// interleaving would make them two.
    #[cfg(tower_bearer_loom)]
    pub(crate) fn now() -> Self {
        Self(1 << 60)
    }

    #[cfg(all(target_os = "linux", not(tower_bearer_loom)))]
    #[inline]
    pub(crate) fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::RealtimeCoarse);
        // A negative time, before 1970, becomes one beyond every limit.
        Self(
            (time.tv_sec as u64)
                .wrapping_mul(1_000_000_000)
                .wrapping_add(time.tv_nsec as u64),
        )
    }

    #[cfg(not(any(target_os = "linux", tower_bearer_loom)))]
    pub(crate) fn now() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(wall.map_or(u64::MAX, |wall| {
            u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)
        }))
    }
}

/// A time on both coarse clocks, in whole seconds: a limit before which the state
/// need not be read again, because neither a suspended machine nor a clock that is
/// set delays it.
#[cfg(feature = "accounts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoarseLimit {
    monotonic: u32,
    wall: u32,
}

#[cfg(feature = "accounts")]
impl CoarseLimit {
    /// Returns the time `quiet` after `start`, or less than two seconds earlier;
    /// `None` if that is `start` already. `quiet` must be computed after `start` was
    /// read, because the machine may be suspended in between.
    pub(crate) fn after(start: CoarseSeconds, quiet: Duration) -> Option<Self> {
        let CoarseSeconds { monotonic, wall } = start;
        // The clocks lag by a tick, and a second had begun on them.
        let whole = quiet.saturating_sub(COARSE_TICK).as_secs();
        let whole = u32::try_from(whole).unwrap_or(u32::MAX);
        (whole > 0).then(|| Self {
            monotonic: monotonic.saturating_add(whole),
            wall: wall.saturating_add(whole),
        })
    }

    /// Returns whether it is in the future, by the clock that is further ahead.
    #[inline]
    pub(crate) fn is_ahead(self) -> bool {
        self.is_after(CoarseSeconds::now())
    }

    #[inline]
    fn is_after(self, now: CoarseSeconds) -> bool {
        now.monotonic < self.monotonic && now.wall < self.wall
    }
}

/// The time on both coarse clocks. A time that does not fit, such as before 1970, is
/// beyond every limit.
#[cfg(feature = "accounts")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoarseSeconds {
    monotonic: u32,
    wall: u32,
}

#[cfg(feature = "accounts")]
impl CoarseSeconds {
    #[inline]
    pub(crate) fn now() -> Self {
        let seconds = |seconds: u64| u32::try_from(seconds).unwrap_or(u32::MAX);
        let (monotonic, wall) = coarse_clocks();
        Self {
            monotonic: seconds(monotonic),
            wall: seconds(wall),
        }
    }
}

/// Seconds on the monotonic and on the wall clock.
#[cfg(feature = "accounts")]
#[inline]
fn coarse_clocks() -> (u64, u64) {
    #[cfg(tower_bearer_loom)]
    let clocks = (1 << 20, 1 << 20);
    #[cfg(all(target_os = "linux", not(tower_bearer_loom)))]
    let clocks = {
        use rustix::time::{ClockId, clock_gettime};
        (
            clock_gettime(ClockId::MonotonicCoarse).tv_sec as u64,
            clock_gettime(ClockId::RealtimeCoarse).tv_sec as u64,
        )
    };
    #[cfg(not(any(target_os = "linux", tower_bearer_loom)))]
    let clocks = {
        static START: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        (
            START.elapsed().as_secs(),
            wall.map_or(u64::MAX, |wall| wall.as_secs()),
        )
    };
    clocks
}

/// Returns whether tokio's clock is paused while the machine's runs. Checked when a
/// token arrives and at each lookup, so a test has to pause time before its first
/// token.
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

    #[cfg(feature = "accounts")]
    #[test]
    fn a_limit_is_over_before_the_time_is_on_either_clock() {
        let at = |monotonic, wall| CoarseSeconds { monotonic, wall };
        let start = at(1000, 2000);
        let limit = |quiet: f64| CoarseLimit::after(start, Duration::from_secs_f64(quiet));
        assert_eq!((limit(0.0), limit(1.005)), (None, None));
        let limit = limit(60.0).expect("ahead");
        for (monotonic, wall, ahead) in [
            (0, 0, true),
            (58, 58, true),
            (59, 59, false),
            (0, 59, false),       // suspended, or set forward
            (59, -1000, false),   // set back
            (58, -1000, true),    // the same, before the time
            (0, i64::MAX, false), // set before 1970
        ] {
            let wall = u32::try_from(wall.saturating_add(2000)).unwrap_or(u32::MAX);
            let now = at(1000 + monotonic, wall);
            assert_eq!(limit.is_after(now), ahead, "{now:?}");
        }
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
