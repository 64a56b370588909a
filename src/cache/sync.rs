//! The seam for loom: the same names, from `std` or from loom's model.

#[cfg(not(tower_bearer_loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(tower_bearer_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

use std::sync::PoisonError;

/// Locks. A panic elsewhere never makes the lock unusable, for nothing panics
/// half way through a change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
