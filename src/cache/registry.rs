//! Caches by number. A request on its way remembers the number of its cache
//! instead of holding the cache: counting references on every request would be
//! a write to memory that all threads share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use crate::cache::shared::Shared;

type Caches = HashMap<u64, Weak<Shared>>;

static CACHES: LazyLock<Mutex<Caches>> = LazyLock::new(Mutex::default);

fn caches() -> MutexGuard<'static, Caches> {
    CACHES.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Makes a cache known by its number.
pub(crate) fn enter(shared: &Arc<Shared>) {
    caches()
        .entry(shared.number)
        .or_insert_with(|| Arc::downgrade(shared));
}

/// For a cache's own drop.
pub(crate) fn strike(number: u64) {
    caches().remove(&number);
}

/// The cache of this number, unless its last handle is gone.
pub(crate) fn find(number: u64) -> Option<Arc<Shared>> {
    caches().get(&number)?.upgrade()
}
