//! A number that ends copies of a token.

use crate::sync::model::{AtomicU32, Ordering};

/// The version of a cache's token. A copy is good while the version is the one that it
/// was made at. It is read and changed by who has the state locked; whoever has a copy
/// reads it without.
#[derive(Debug)]
pub(crate) struct Version(AtomicU32);

impl Version {
    #[cfg(not(tower_bearer_loom))]
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[cfg(tower_bearer_loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[inline]
    pub(crate) fn current(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Ends all copies that were made before.
    pub(crate) fn change(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}
