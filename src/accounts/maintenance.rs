//! The maintenance task: evicts accounts that were not used for a while, watches
//! the clock for all of them, and ends the sessions of evicted accounts.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use crate::accounts::lru::Account;
use crate::accounts::shared::Shared;
use crate::cache::TokenCache;
use crate::sync::lock;

/// Bounds of the interval. The last use of an account is known to one interval.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// The least number of intervals in an idle timeout, unless it is very short.
const INTERVALS_PER_IDLE_TIMEOUT: u32 = 8;

/// How often the maintenance task runs.
pub(crate) fn interval(idle_timeout: Duration) -> Duration {
    (idle_timeout / INTERVALS_PER_IDLE_TIMEOUT).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// After how many ticks without a use an account is idle.
fn idle_ticks(idle_timeout: Duration) -> u64 {
    let ticks = idle_timeout
        .as_nanos()
        .div_ceil(interval(idle_timeout).as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// Starts the task unless it runs. Without a runtime it is started when the next
/// account is created.
pub(crate) fn ensure_running<K: Send + Sync + 'static>(shared: &Arc<Shared<K>>) {
    let started = shared.maintenance.ensure_running(|| {
        let task = MaintenanceTask(Arc::downgrade(shared));
        // Set first, for a runtime that is shutting down drops the task at once.
        shared.is_running.store(true, Ordering::SeqCst);
        task.run(interval(shared.settings.idle_timeout))
    });
    if started {
        set_all_clocks_watched(shared, true);
        if !shared.is_running.load(Ordering::SeqCst) {
            set_all_clocks_watched(shared, false);
        }
    }
}

fn set_all_clocks_watched<K>(shared: &Shared<K>, watched: bool) {
    shared
        .lru
        .for_each(|it| it.tokens().shared.set_clock_watched(watched));
}

/// Adds a new account to those whose clock is watched.
pub(crate) fn watch_clock<K>(shared: &Shared<K>, account: &Account<K>) {
    let tokens = &account.tokens().shared;
    tokens.set_clock_watched(shared.is_running.load(Ordering::SeqCst));
    // The task may have ended, or the account been evicted, meanwhile. Both set
    // their mark before they turn to the account, so one of the two sees it.
    if !shared.is_running.load(Ordering::SeqCst) || account.used() == 0 {
        tokens.set_clock_watched(false);
    }
}

/// Stops watching the clock for evicted accounts, and queues their sessions to
/// be ended if the settings say so.
pub(crate) fn on_evicted<K>(shared: &Shared<K>, accounts: Vec<Arc<Account<K>>>) {
    for account in &accounts {
        account.tokens().shared.set_clock_watched(false);
    }
    if let Some(after) = shared.settings.revoke_evicted
        && !accounts.is_empty()
    {
        let at = Instant::now() + after;
        let caches = accounts.iter().map(|it| (at, it.tokens().clone()));
        lock(&shared.pending_revocations).extend(caches);
    }
}

/// Removes the caches whose sessions are to be ended by now from the queue.
fn take_due_revocations<K>(shared: &Shared<K>) -> Vec<TokenCache> {
    let (now, mut pending) = (Instant::now(), lock(&shared.pending_revocations));
    let due = pending.iter().take_while(|(at, _)| *at <= now).count();
    pending.drain(..due).map(|(_, tokens)| tokens).collect()
}

struct MaintenanceTask<K>(Weak<Shared<K>>);

impl<K> MaintenanceTask<K> {
    /// Runs until the last handle of the accounts is dropped.
    async fn run(self, interval: Duration) {
        let mut clocks = Clocks::now();
        loop {
            sleep(interval).await;
            let Some(shared) = self.0.upgrade() else {
                return;
            };
            if clocks.wall_was_set_back(Clocks::now()) {
                shared.lru.for_each(|it| it.tokens().shared.check_clock());
            }
            let tick = shared.tick.fetch_add(1, Ordering::Relaxed) + 1;
            let idle_ticks = idle_ticks(shared.settings.idle_timeout);
            let is_idle = |account: &Account<K>| account.used().saturating_add(idle_ticks) < tick;
            on_evicted(&shared, shared.lru.evict_while(is_idle));
            for tokens in take_due_revocations(&shared) {
                let permits = shared.settings.revoke_permits.clone();
                tokio::spawn(async move {
                    let _permit = permits.acquire().await;
                    let _ = tokens.end_own_session().await;
                });
            }
        }
    }
}

impl<K> Drop for MaintenanceTask<K> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_running.store(false, Ordering::SeqCst);
            set_all_clocks_watched(&shared, false);
        }
    }
}

/// Both clocks at one moment. Requests read the wall clock only, so this task
/// compares it with the monotonic one to notice when it is set back.
struct Clocks {
    wall: SystemTime,
    monotonic: Instant,
}

/// How far the wall clock may fall behind before it counts as set back.
const TOLERANCE: Duration = Duration::from_millis(50);

impl Clocks {
    fn now() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        }
    }

    /// Whether the wall clock fell behind since the last moment that was kept.
    /// Keeps `now`, unless the wall clock is behind by less than the tolerance:
    /// then the older moment stays, so that a slow drift adds up.
    fn wall_was_set_back(&mut self, now: Self) -> bool {
        let monotonic = now.monotonic.saturating_duration_since(self.monotonic);
        let wall = now.wall.duration_since(self.wall).unwrap_or_default();
        if wall < monotonic && wall + TOLERANCE >= monotonic {
            return false;
        }
        *self = now;
        wall < monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_was_set_back_or_drifts_is_noticed_once() {
        let start = Clocks::now();
        let at = |wall: i64, monotonic: u64| {
            let ahead = Duration::from_millis(wall.unsigned_abs());
            Clocks {
                wall: if wall < 0 {
                    start.wall - ahead
                } else {
                    start.wall + ahead
                },
                monotonic: start.monotonic + Duration::from_millis(monotonic),
            }
        };
        // Milliseconds since the start on both clocks, and whether it is noticed.
        let moments = [
            (1000, 1000, false),
            (1990, 2000, false),
            (2970, 3000, false),
            (3940, 4000, true),
            (4940, 5000, false),
            (1000, 6000, true),
            (2000, 7000, false),
            (9000, 8000, false),
            (9500, 9000, true),
            (-5000, 10_000, true),
            (-4000, 11_000, false),
        ];
        let mut clocks = at(0, 0);
        for (wall, monotonic, noticed) in moments {
            let now = at(wall, monotonic);
            assert_eq!(clocks.wall_was_set_back(now), noticed, "at {monotonic}");
        }
    }
}
