//! A background task that runs once, and is restarted when its runtime has ended.

use std::future::Future;
use std::sync::Mutex;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::sync::lock;

/// The only task of its kind, if it runs.
#[derive(Debug, Default)]
pub(crate) struct BackgroundTask(Mutex<Option<JoinHandle<()>>>);

impl BackgroundTask {
    /// Starts the task in the current runtime, unless it is running or there is no
    /// runtime. `make` is called with the lock held. Returns whether a task was
    /// started.
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
