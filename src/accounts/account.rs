//! One account: a key and its cache.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::TokenCache;

/// A key and its cache. They are stored together and nowhere else, so that a
/// key can never lead to the cache of another one.
pub(crate) struct Account<K> {
    key: K,
    hash: u64,
    /// The tick of the last use that the LRU knows of; zero once evicted.
    used: AtomicU64,
    tokens: TokenCache,
}

impl<K> Account<K> {
    /// An account that has not been inserted yet.
    pub(crate) fn new(key: K, hash: u64, tokens: TokenCache) -> Self {
        Self {
            key,
            hash,
            used: AtomicU64::new(0),
            tokens,
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Only while the shard of this account is locked.
    pub(super) fn set_used(&self, tick: u64) {
        if self.used() != tick {
            self.used.store(tick, Ordering::Release);
        }
    }

    /// Only while the shard of this account is locked.
    pub(super) fn evict(&self) {
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
