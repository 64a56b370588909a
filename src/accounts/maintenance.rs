//! The maintenance task: evicts accounts that were not used for a while, and ends
//! the sessions of evicted accounts.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

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
    shared.maintenance.ensure_running(|| {
        let interval = interval(shared.settings.idle_timeout);
        run(Arc::downgrade(shared), interval)
    });
}

/// Queues the sessions of evicted accounts to be ended, if the settings say so.
pub(crate) fn on_evicted<K>(shared: &Shared<K>, accounts: Vec<Arc<Account<K>>>) {
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

/// Runs until the last handle of the accounts is dropped.
async fn run<K>(shared: Weak<Shared<K>>, interval: Duration) {
    loop {
        sleep(interval).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
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
