//! Watching the token in use on the monotonic clock.
//!
//! The hot path glances at the wall clock only, which may be set back. So when
//! it is time for a closer look by the monotonic clock, this task says so.
//! Nobody goes by a glance while it does not run: when it ends with its
//! runtime, requests take the closer look until the next fetch starts another.

use std::sync::{Arc, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cache::shared::Shared;

/// Starts the task if there is none, or its runtime has ended.
pub(crate) fn ensure(shared: &Arc<Shared>) {
    let by_others = shared.settings.guarded_every.is_some();
    if by_others || !shared.settings.clock.is_glanceable() {
        return;
    }
    let mut task = shared.sentry.lock().unwrap_or_else(PoisonError::into_inner);
    if task.as_ref().is_none_or(|task| task.is_finished())
        && let Ok(runtime) = Handle::try_current()
    {
        let post = Post(Arc::downgrade(shared));
        let changes = shared.changes.subscribe();
        // First, for a runtime that is shutting down drops the task at once.
        shared.with_ledger(|ledger, _| ledger.guarded = true);
        *task = Some(runtime.spawn(post.keep(changes)));
    }
}

struct Post(Weak<Shared>);

impl Post {
    /// Ends when the last handle of the cache is gone.
    async fn keep(self, mut changes: watch::Receiver<()>) {
        loop {
            changes.mark_unchanged();
            let Some(shared) = self.0.upgrade() else {
                return;
            };
            let quiet = shared.with_ledger(|ledger, now| ledger.quiet(now));
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

impl Drop for Post {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.with_ledger(|ledger, _| ledger.guarded = false);
        }
    }
}
