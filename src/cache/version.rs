//! A number that ends copies of a token.

use crate::sync::model::{AtomicU32, Ordering};

/// The version of a cache's token. A copy is valid while the version is the one at
/// which it was made. It is read and changed under the lock of the state; the holder
/// of a copy reads it without.
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

/// The number of versions: 4 KiB of them.
#[cfg(feature = "accounts")]
const VERSIONS: usize = 1024;

/// Returns the version of the cache with this id. It changes when the token is
/// replaced or withdrawn, before that is reported. Caches whose ids have the same
/// remainder share one: a renewal is rare, and a change costs the others only a
/// lookup.
#[cfg(feature = "accounts")]
#[inline]
pub(crate) fn of(cache_id: u64) -> &'static Version {
    static ALL: [Version; VERSIONS] = [const { Version::new() }; VERSIONS];
    &ALL[cache_id as usize % VERSIONS]
}
