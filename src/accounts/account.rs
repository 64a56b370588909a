//! One account: its cache, and what services need to know of it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::TokenCache;

/// The cache of one account, which is found only by its key.
pub(crate) struct Account {
    /// The tick of the last use that services know to be recorded; zero once
    /// evicted.
    used: AtomicU64,
    tokens: TokenCache,
}

impl Account {
    /// Creates an account that has not been inserted yet.
    pub(crate) fn new(tokens: TokenCache) -> Self {
        Self {
            used: AtomicU64::new(0),
            tokens,
        }
    }

    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Sets the last use. Call it only while the shard of this account is locked.
    pub(super) fn set_used(&self, tick: u64) {
        if self.used() != tick {
            self.used.store(tick, Ordering::Release);
        }
    }

    /// Marks it as evicted. Call it only while the shard of this account is locked.
    pub(super) fn evict(&self) {
        self.used.store(0, Ordering::Release);
    }
}
