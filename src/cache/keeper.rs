//! Keeping a token warm while nobody asks for one.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cache::clock::Moment;
use crate::cache::ledger::{Ledger, Want};
use crate::cache::shared::Shared;

/// The least pause between two renewals that nobody asked for: tokens that
/// live shorter are fetched when they are needed.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Starts the keeper's task if there is none, or its runtime has ended. Without
/// a runtime the next fetch starts it.
pub(crate) fn ensure(shared: &Arc<Shared>) {
    let mut keeper = shared.keeper.lock().unwrap_or_else(PoisonError::into_inner);
    if keeper.task.as_ref().is_none_or(JoinHandle::is_finished)
        && let Ok(runtime) = Handle::try_current()
    {
        let changes = shared.changes.subscribe();
        keeper.task = Some(runtime.spawn(keep(Arc::downgrade(shared), changes)));
    }
}

/// Ends when the last handle of the cache is gone.
async fn keep(shared: Weak<Shared>, mut changes: watch::Receiver<()>) {
    loop {
        let pause = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            changes.mark_unchanged();
            if shared.with_ledger(|ledger, _| ledger.is_closed()) {
                return;
            }
            match shared.with_ledger(|ledger, now| pause(ledger, now)) {
                Some(Duration::ZERO) => {
                    let _ = shared.look(Want::default());
                    Some(LEAST_PAUSE)
                }
                pause => pause.map(|pause| pause.max(LEAST_PAUSE)),
            }
        };
        let changed = match pause {
            Some(pause) => timeout(pause, changes.changed()).await.unwrap_or(Ok(())),
            None => changes.changed().await,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// How long to sleep until something is to be done: zero for now, `None` until
/// something changes.
fn pause(ledger: &Ledger, now: &Moment) -> Option<Duration> {
    // Nobody asks, so nobody is helped by another attempt, and it may count
    // against the account.
    if ledger.troubles.is_refused() {
        return None;
    }
    let held = ledger.troubles.held_for(now.monotonic).unwrap_or_default();
    let due = ledger.live.as_ref().map_or(Duration::ZERO, |live| {
        live.plan.due.saturating_sub(now.since(&live.born))
    });
    Some(due.max(held))
}
