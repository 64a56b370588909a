//! How many flights of several caches are under way at once.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Lets so many pass at once, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Semaphore,
    #[cfg(feature = "accounts")]
    limit: usize,
}

/// The right to be one of those; given back when it is dropped.
pub(crate) struct Pass<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Gate {
    #[cfg(feature = "accounts")]
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Semaphore::new(limit),
            limit,
        }
    }

    pub(crate) async fn pass(&self) -> Pass<'_> {
        Pass {
            // Nobody closes it.
            _permit: self.permits.acquire().await.ok(),
        }
    }

    /// How many have passed and are not done.
    #[cfg(feature = "accounts")]
    pub(crate) fn passed(&self) -> usize {
        self.limit.saturating_sub(self.permits.available_permits())
    }
}
