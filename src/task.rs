//! A background task that runs once, and is started again when its runtime has
//! ended.

use std::future::Future;
use std::sync::Mutex;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::sync::lock;

/// The one task of its kind, if it runs.
#[derive(Debug, Default)]
pub(crate) struct BackgroundTask(Mutex<Option<JoinHandle<()>>>);

impl BackgroundTask {
    /// Starts the task unless it runs: in the current runtime, and not at all
    /// outside of one. `make` is called with the lock held. Returns whether it
    /// started one.
    pub(crate) fn ensure_running<F>(&self, make: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut task = lock(&self.0);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return false;
        }
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        *task = Some(runtime.spawn(make()));
        true
    }

    /// Ends the task, if it runs.
    #[cfg(feature = "redis")]
    pub(crate) fn abort(&self) {
        if let Some(task) = lock(&self.0).take() {
            task.abort();
        }
    }
}
