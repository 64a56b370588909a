//! The maintenance task: evicts accounts that were not used for a while, and ends
//! the sessions of evicted accounts.

use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use crate::accounts::account::Account;
use crate::accounts::shared::{Shared, TIME};

/// Bounds of the interval. The last use of an account is known to within one
/// interval.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// The minimum number of intervals in an idle timeout, unless it is very short.
const INTERVALS_PER_IDLE_TIMEOUT: u32 = 8;

/// Returns the interval of the maintenance task.
pub(crate) fn interval(idle_timeout: Duration) -> Duration {
    (idle_timeout / INTERVALS_PER_IDLE_TIMEOUT).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// Returns after how many runs without a use an account is idle.
fn idle_runs(idle_timeout: Duration) -> u64 {
    let runs = idle_timeout
        .as_nanos()
        .div_ceil(interval(idle_timeout).as_nanos());
    u64::try_from(runs).unwrap_or(u64::MAX)
}

/// Starts the task unless it is running. Without a runtime, the next account that is
/// created starts it.
pub(crate) fn ensure_running<K: Send + Sync + 'static>(shared: &Arc<Shared<K>>) {
    shared.maintenance.ensure_running(|| {
        let interval = interval(shared.settings.idle_timeout);
        run(Arc::downgrade(shared), interval)
    });
}

/// Counts the account of this key among those that have had a token.
pub(crate) fn on_worked<K: Hash + Eq + Send + Sync + 'static>(
    shared: &Shared<K>,
    hash: u64,
    key: &K,
) {
    let tick = shared.tick();
    if let Some(account) = shared.lru.prove(hash, key, tick) {
        keep_capacity(shared, Some(&account));
    }
}

/// Evicts accounts beyond the capacity.
pub(crate) fn keep_capacity<K: Send + Sync + 'static>(
    shared: &Shared<K>,
    newest: Option<&Arc<Account>>,
) {
    let evicted = shared.lru.keep_capacity(newest, shared.tick());
    on_evicted(shared, evicted);
    if shared.lru.take_turn() {
        shared.tick.fetch_add(1, Ordering::Relaxed);
    }
}

/// Queues the sessions of evicted accounts to be ended, if the settings say so.
fn on_evicted<K: Send + Sync + 'static>(shared: &Shared<K>, accounts: Vec<Arc<Account>>) {
    if !accounts.is_empty() {
        shared.revocations.push(accounts);
    }
}

/// Runs until the last handle of the accounts is dropped.
async fn run<K: Send + Sync + 'static>(shared: Weak<Shared<K>>, interval: Duration) {
    loop {
        sleep(interval).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let tick = shared.tick.fetch_add(TIME, Ordering::Relaxed) + TIME;
        let idle_runs = idle_runs(shared.settings.idle_timeout);
        let limit = (tick / TIME).saturating_sub(idle_runs).saturating_mul(TIME);
        on_evicted(&shared, shared.lru.evict_unused(limit, tick));
        keep_capacity(&shared, None);
        shared.revocations.start();
    }
}
