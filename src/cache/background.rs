//! The background task of a cache. It does not keep the cache alive: it ends with
//! the last handle.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::cache::clock::Moment;
use crate::cache::shared::Shared;
use crate::cache::state::{Requirements, State};

/// The shortest interval between two background renewals: tokens with a shorter life
/// are fetched when they are needed.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps a token warm while no caller needs one. Without a runtime the next fetch
/// starts the task.
pub(crate) fn ensure_keep_warm(shared: &Arc<Shared>) {
    shared.seldom().keep_warm.ensure_running(|| {
        let changes = shared.changes.subscribe();
        keep_warm(Arc::downgrade(shared), changes)
    });
}

async fn keep_warm(shared: Weak<Shared>, mut changes: watch::Receiver<()>) {
    loop {
        let pause = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            changes.mark_unchanged();
            if shared.with_state(|state, _| state.is_closed()) {
                return;
            }
            match shared.with_state(|state, now| pause(state, now)) {
                Some(Duration::ZERO) => {
                    let _ = shared.lookup(Requirements::default());
                    Some(MIN_INTERVAL)
                }
                pause => pause.map(|pause| pause.max(MIN_INTERVAL)),
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

/// Returns how long to sleep until there is something to do: zero for now, `None`
/// until something changes.
fn pause(state: &State, now: &Moment) -> Option<Duration> {
    // No caller waits, so another attempt helps none, and it may count against the
    // account.
    if state.is_refused() {
        return None;
    }
    let backoff = state.backoff_left(now.monotonic);
    let due = state.live.as_ref().map_or(Duration::ZERO, |live| {
        live.schedule
            .due
            .saturating_sub(now.since(&live.requested_at))
    });
    Some(due.max(backoff.unwrap_or_default()))
}
