//! One account among many.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::TokenCache;

/// A key and its cache, which never part.
pub(crate) struct Account<K> {
    key: K,
    hash: u64,
    /// The tick of its last use, as far as the lru knows; zero when it is let
    /// go.
    used: AtomicU64,
    tokens: TokenCache,
}

impl<K> Account<K> {
    /// An account that is on no lru yet.
    pub(crate) fn new(key: K, hash: u64, tokens: TokenCache) -> Self {
        Self {
            key,
            hash,
            used: AtomicU64::new(0),
            tokens,
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// For the holder of the lru's lock only.
    pub(crate) fn set_used(&self, tick: u64) {
        if self.used() != tick {
            self.used.store(tick, Ordering::Release);
        }
    }

    pub(crate) fn evict(&self) {
        self.used.store(0, Ordering::Release);
    }
}

impl<K: Eq> Account<K> {
    /// Whether this is the account of that key.
    #[inline]
    pub(crate) fn is(&self, key: &K) -> bool {
        self.key == *key
    }
}
