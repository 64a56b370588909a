//! Caches by their id. A request in flight remembers the id of its cache instead of
//! holding the cache, because counting references on every request would write to
//! memory that all threads share.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};

use crate::cache::credentials::CredentialMemory;
use crate::cache::shared::{Shared, own_credentials};
use crate::sync::lock;

type Caches = HashMap<u64, Weak<Shared>>;

static CACHES: LazyLock<Mutex<Caches>> = LazyLock::new(Mutex::default);

fn caches() -> MutexGuard<'static, Caches> {
    lock(&CACHES)
}

/// Registers a cache under its `cache_id`.
pub(crate) fn register(shared: &Arc<Shared>) {
    caches()
        .entry(shared.cache_id)
        .or_insert_with(|| Arc::downgrade(shared));
}

/// Returns the cache of this `cache_id`, unless its last handle is gone.
pub(crate) fn find(cache_id: u64) -> Option<Arc<Shared>> {
    caches().get(&cache_id)?.upgrade()
}

impl Drop for Shared {
    fn drop(&mut self) {
        caches().remove(&self.cache_id);
        CredentialMemory::forget_one(own_credentials(self.cache_id));
    }
}
