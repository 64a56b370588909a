//! The task that keeps time for the accounts: lets go those that were not used
//! for a while, and ends the sessions of those that were let go, if asked to.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::accounts::account::Account;
use crate::accounts::shared::{Inner, Maintenance};
use crate::cache::TokenCache;

/// How well the maintenance knows when an account was used.
const LONGEST_ROUND: Duration = Duration::from_secs(1);
const SHORTEST_ROUND: Duration = Duration::from_millis(10);

/// In how many rounds an idle account is let go.
const ROUNDS: u32 = 8;

pub(crate) fn interval(idle: Duration) -> Duration {
    (idle / ROUNDS).clamp(SHORTEST_ROUND, LONGEST_ROUND)
}

fn rounds(idle: Duration) -> u64 {
    let rounds = idle.as_nanos().div_ceil(interval(idle).as_nanos());
    u64::try_from(rounds).unwrap_or(u64::MAX)
}

pub(crate) fn lock<K>(inner: &Inner<K>) -> MutexGuard<'_, Maintenance> {
    inner
        .maintenance
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Starts the task if there is none, or its runtime has ended. Without a runtime
/// the next account to be made starts it.
pub(crate) fn ensure<K: Send + Sync + 'static>(inner: &Arc<Inner<K>>) {
    let mut maintenance = lock(inner);
    if maintenance
        .task
        .as_ref()
        .is_none_or(JoinHandle::is_finished)
        && let Ok(runtime) = Handle::try_current()
    {
        let task = MaintenanceTask(Arc::downgrade(inner));
        // First, for a runtime that is shutting down drops the task at once.
        inner.is_running.store(true, Ordering::SeqCst);
        maintenance.task = Some(runtime.spawn(task.keep(interval(inner.config.idle))));
        drop(maintenance);
        inner
            .lru
            .for_each(|it| it.tokens().shared.set_clock_watched(true));
        if !inner.is_running.load(Ordering::SeqCst) {
            inner
                .lru
                .for_each(|it| it.tokens().shared.set_clock_watched(false));
        }
    }
}

/// Watches the clock for a new account, too.
pub(crate) fn watch<K>(inner: &Inner<K>, account: &Account<K>) {
    let shared = &account.tokens().shared;
    shared.set_clock_watched(inner.is_running.load(Ordering::SeqCst));
    // Whoever leaves the task, or lets the account go, says so before it sees to
    // the account.
    if !inner.is_running.load(Ordering::SeqCst) || account.used() == 0 {
        shared.set_clock_watched(false);
    }
}

/// Watches the clock no more for these, and notes whose sessions are to be ended.
pub(crate) fn evict<K>(inner: &Inner<K>, accounts: Vec<Arc<Account<K>>>) {
    for account in &accounts {
        account.tokens().shared.set_clock_watched(false);
    }
    if let Some(after) = inner.config.revoke_after
        && !accounts.is_empty()
    {
        let at = Instant::now() + after;
        let pending_revocations = accounts.iter().map(|it| (at, it.tokens().clone()));
        lock(inner).pending_revocations.extend(pending_revocations);
    }
}

struct MaintenanceTask<K>(Weak<Inner<K>>);

impl<K> MaintenanceTask<K> {
    /// Ends with the last handle.
    async fn keep(self, round: Duration) {
        let mut clocks = Clocks::new();
        loop {
            sleep(round).await;
            let Some(inner) = self.0.upgrade() else {
                return;
            };
            if clocks.wall_was_set_back(Clocks::new()) {
                inner.lru.for_each(|it| it.tokens().shared.check_clock());
            }
            let tick = inner.tick.fetch_add(1, Ordering::Relaxed) + 1;
            let rounds = rounds(inner.config.idle);
            let idle = |account: &Account<K>| account.used().saturating_add(rounds) < tick;
            evict(&inner, inner.lru.take_while(idle));
            for tokens in pending_revocations(&inner) {
                let permits = inner.config.revoke_permits.clone();
                tokio::spawn(async move {
                    let _pass = permits.acquire().await;
                    let _ = tokens.end_own_session().await;
                });
            }
        }
    }
}

impl<K> Drop for MaintenanceTask<K> {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.is_running.store(false, Ordering::SeqCst);
            inner
                .lru
                .for_each(|it| it.tokens().shared.set_clock_watched(false));
        }
    }
}

/// How the wall clock goes beside the monotonic one. The hot path glances at the
/// former only, and only this knows when it was set back.
struct Clocks {
    wall: SystemTime,
    monotonic: Instant,
}

/// By how much the wall clock may fall behind unnoticed.
const SLACK: Duration = Duration::from_millis(50);

impl Clocks {
    fn new() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        }
    }

    /// Since the last time that this said so, or that it was ahead.
    fn wall_was_set_back(&mut self, now: Self) -> bool {
        let monotonic = now.monotonic.saturating_duration_since(self.monotonic);
        let wall = now.wall.duration_since(self.wall).unwrap_or_default();
        if wall < monotonic && wall + SLACK >= monotonic {
            // Too little to matter; perhaps it grows.
            return false;
        }
        *self = now;
        wall < monotonic
    }
}

/// Scope time has come.
fn pending_revocations<K>(inner: &Inner<K>) -> Vec<TokenCache> {
    let (now, pending_revocations) = (Instant::now(), &mut lock(inner).pending_revocations);
    let due = pending_revocations
        .iter()
        .take_while(|(at, _)| *at <= now)
        .count();
    pending_revocations
        .drain(..due)
        .map(|(_, tokens)| tokens)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_was_set_back_or_drifts_is_noticed_once() {
        let start = Clocks::new();
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
        let rounds = [
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
        for (wall, monotonic, noticed) in rounds {
            let now = at(wall, monotonic);
            assert_eq!(clocks.wall_was_set_back(now), noticed, "at {monotonic}");
        }
    }
}
