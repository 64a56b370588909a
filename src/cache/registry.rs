//! Caches by number. A request on its way remembers the number of its cache
//! instead of holding the cache: counting references on every request would be
//! a write to memory that all threads share.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use crate::cache::shared::Shared;

type Caches = HashMap<u64, Weak<Shared>>;

static CACHES: LazyLock<Mutex<Caches>> = LazyLock::new(Mutex::default);

fn caches() -> MutexGuard<'static, Caches> {
    CACHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a cache known by its number.
pub(crate) fn enter(shared: &Arc<Shared>) {
    caches()
        .entry(shared.number)
        .or_insert_with(|| Arc::downgrade(shared));
}

/// The cache of this number, unless its last handle is gone.
pub(crate) fn find(number: u64) -> Option<Arc<Shared>> {
    caches().get(&number)?.upgrade()
}

impl Drop for Shared {
    fn drop(&mut self) {
        caches().remove(&self.number);
    }
}
