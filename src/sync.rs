//! Locks, and the replacements for loom.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. A panic elsewhere never makes it unusable, because nothing panics
/// half way through a change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same names from std or, under `--cfg tower_bearer_loom`, from loom's model.
pub(crate) mod model {
    // The model leaves `Arc` out: it only owns, and the orders in which owners are
    // dropped would multiply the interleavings.
    pub(crate) use std::sync::Arc;

    #[cfg(not(tower_bearer_loom))]
    pub(crate) use {
        super::lock,
        arc_swap::ArcSwapOption,
        std::sync::Mutex,
        std::sync::atomic::{AtomicU64, Ordering},
    };

    #[cfg(all(feature = "accounts", not(tower_bearer_loom)))]
    pub(crate) use std::sync::atomic::AtomicU32;

    #[cfg(tower_bearer_loom)]
    pub(crate) use {
        loom::sync::Mutex,
        loom::sync::atomic::{AtomicBool, AtomicU64, Ordering},
    };

    #[cfg(all(test, tower_bearer_loom))]
    pub(crate) use loom::sync::atomic::AtomicU32;

    /// A value that is set once, and read without a lock.
    #[derive(Debug)]
    pub(crate) struct Once<T> {
        value: std::sync::OnceLock<T>,
        /// The part of it that loom sees.
        #[cfg(tower_bearer_loom)]
        is_set: AtomicBool,
    }

    impl<T> Default for Once<T> {
        fn default() -> Self {
            Self {
                value: std::sync::OnceLock::new(),
                #[cfg(tower_bearer_loom)]
                is_set: AtomicBool::new(false),
            }
        }
    }

    impl<T> Once<T> {
        #[inline]
        pub(crate) fn get(&self) -> Option<&T> {
            #[cfg(tower_bearer_loom)]
            if !self.is_set.load(Ordering::Acquire) {
                return None;
            }
            self.value.get()
        }

        /// Sets the value, unless there is one.
        pub(crate) fn set(&self, value: T) {
            let _ = self.value.set(value);
            #[cfg(tower_bearer_loom)]
            self.is_set.store(true, Ordering::Release);
        }
    }

    #[cfg(tower_bearer_loom)]
    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
        mutex
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Replaces arc-swap, which has no model.
    #[cfg(tower_bearer_loom)]
    #[derive(Debug)]
    pub(crate) struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

    #[cfg(tower_bearer_loom)]
    impl<T> ArcSwapOption<T> {
        pub(crate) fn load(&self) -> Option<Arc<T>> {
            lock(&self.0).clone()
        }

        pub(crate) fn swap(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
            std::mem::replace(&mut lock(&self.0), value)
        }
    }

    #[cfg(tower_bearer_loom)]
    impl<T> Default for ArcSwapOption<T> {
        fn default() -> Self {
            Self(Mutex::new(None))
        }
    }
}
