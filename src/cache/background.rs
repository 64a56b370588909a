//! The tasks that a cache runs beside its fetches. Neither keeps the cache
//! alive: each ends with the last handle.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::cache::clock::Moment;
use crate::cache::shared::Shared;
use crate::cache::state::{Requirements, State};

/// The shortest pause between two renewals that nobody asked for: tokens that
/// live shorter are fetched when they are needed.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Watches the token in use on the monotonic clock.
///
/// The fast path reads the wall clock only, which may be set back. So when a
/// lookup on the monotonic clock is called for, this task makes it. While the
/// task does not run no request takes the fast path: when it ends with its
/// runtime, requests make full lookups until the next fetch starts another.
pub(crate) fn ensure_clock_watch(shared: &Arc<Shared>) {
    let watched_elsewhere = shared.settings.clock_check_every.is_some();
    if watched_elsewhere || !shared.settings.clock.has_coarse_clock() {
        return;
    }
    shared.clock_watch.ensure_running(|| {
        let watch = ClockWatch(Arc::downgrade(shared));
        // Set first, for a runtime that is shutting down drops the task at once.
        shared.with_state(|state, _| state.clock_watched = true);
        watch.run(shared.changes.subscribe())
    });
}

struct ClockWatch(Weak<Shared>);

impl ClockWatch {
    async fn run(self, mut changes: watch::Receiver<()>) {
        loop {
            changes.mark_unchanged();
            let Some(shared) = self.0.upgrade() else {
                return;
            };
            let quiet = shared.with_state(|state, now| state.quiet_for(now));
            drop(shared);
            let changed = if quiet.is_zero() {
                changes.changed().await
            } else {
                timeout(quiet, changes.changed()).await.unwrap_or(Ok(()))
            };
            if changed.is_err() {
                return;
            }
        }
    }
}

impl Drop for ClockWatch {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.with_state(|state, _| state.clock_watched = false);
        }
    }
}

/// Keeps a token warm while nobody asks for one. Without a runtime the next
/// fetch starts the task.
pub(crate) fn ensure_keep_warm(shared: &Arc<Shared>) {
    shared.keep_warm.ensure_running(|| {
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

/// How long to sleep until there is something to do: zero for now, `None` until
/// something changes.
fn pause(state: &State, now: &Moment) -> Option<Duration> {
    // Nobody asks, so another attempt helps nobody, and it may count against
    // the account.
    if state.failures.is_refused() {
        return None;
    }
    let backoff = state.failures.backoff_left(now.monotonic);
    let due = state.live.as_ref().map_or(Duration::ZERO, |live| {
        live.schedule
            .due
            .saturating_sub(now.since(&live.requested_at))
    });
    Some(due.max(backoff.unwrap_or_default()))
}
