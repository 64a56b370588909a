//! The time, the same for all processes of a machine.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When something was written, by two clocks.
///
/// Linux counts the time since the machine started, including suspension, and that
/// clock cannot be set. It says nothing about other boots: for those, and on other
/// systems, only the wall clock is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clocks {
    /// Identifies the boot of the machine; zero if unknown.
    pub(super) run: u64,
    pub(super) since_start: Duration,
    pub(super) wall: Duration,
}

impl Clocks {
    pub(super) fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let (run, since_start) = run_of_machine();
        Self {
            run,
            since_start,
            wall: wall.unwrap_or_default(),
        }
    }

    /// Returns the time that has passed since `earlier`; zero if that is in the
    /// future.
    pub(super) fn since(&self, earlier: &Self) -> Duration {
        match self.run != 0 && self.run == earlier.run {
            true => self.since_start.saturating_sub(earlier.since_start),
            false => self.wall.saturating_sub(earlier.wall),
        }
    }

    /// Returns the wall clock in milliseconds.
    pub(super) fn wall_millis(&self) -> u64 {
        u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(target_os = "linux")]
fn run_of_machine() -> (u64, Duration) {
    use std::fs;
    use std::hash::Hasher;

    use rustix::time::{ClockId, clock_gettime};
    use siphasher::sip::SipHasher24;

    static RUN: OnceLock<u64> = OnceLock::new();
    let run = *RUN.get_or_init(|| {
        let Ok(id) = fs::read("/proc/sys/kernel/random/boot_id") else {
            return 0;
        };
        let mut hasher = SipHasher24::new();
        hasher.write(&id);
        // A container that counts from another moment is treated as another boot.
        if let Ok(namespace) = fs::read_link("/proc/self/ns/time") {
            hasher.write(namespace.as_os_str().as_encoded_bytes());
        }
        hasher.finish()
    });
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    (run, Duration::new(seconds, nanos))
}

#[cfg(not(target_os = "linux"))]
fn run_of_machine() -> (u64, Duration) {
    (0, Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(run: u64, since_start: u64, wall: u64) -> Clocks {
        Clocks {
            run,
            since_start: Duration::from_secs(since_start),
            wall: Duration::from_secs(wall),
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_changes_nothing_in_one_run_of_the_machine() {
        for (earlier, now, passed) in [
            (clocks(1, 10, 1000), clocks(1, 15, 1005), 5),
            // Set back by an hour, and forward by a minute.
            (clocks(1, 10, 5000), clocks(1, 15, 1405), 5),
            (clocks(1, 10, 1000), clocks(1, 15, 1065), 5),
            // The machine was restarted; only the wall clock is known.
            (clocks(1, 10, 1000), clocks(2, 3, 1060), 60),
            (clocks(1, 10, 1000), clocks(2, 3, 900), 0),
            (clocks(0, 0, 1000), clocks(0, 0, 1007), 7),
            (clocks(1, 10, 1000), clocks(1, 9, 1000), 0),
        ] {
            assert_eq!(now.since(&earlier), Duration::from_secs(passed), "{now:?}");
        }
    }

    #[test]
    fn the_clocks_go_on() {
        let first = Clocks::now();
        std::thread::sleep(Duration::from_millis(2));
        let passed = Clocks::now().since(&first);
        assert!(passed >= Duration::from_millis(1), "{passed:?}");
        assert_eq!(first.run != 0, cfg!(target_os = "linux"));
    }
}
