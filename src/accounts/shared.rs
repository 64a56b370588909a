//! The state that all handles of the accounts share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::accounts::lazy_source::MakeSource;
use crate::accounts::lru::AccountLru;
use crate::cache::{Template, TokenCache, TokenCacheBuilder};
use crate::task::BackgroundTask;

pub(crate) struct Shared<K> {
    pub(crate) settings: Settings<K>,
    pub(crate) lru: AccountLru<K>,
    /// Counts the runs of the maintenance task, from 1: the time of each use.
    pub(crate) tick: AtomicU64,
    pub(crate) is_shut_down: AtomicBool,
    pub(crate) maintenance: BackgroundTask,
    /// Whether the maintenance task runs, and so watches the clock.
    pub(crate) is_running: AtomicBool,
    /// The caches of evicted accounts whose session is to be ended, and when;
    /// the earliest first.
    pub(crate) pending_revocations: Mutex<VecDeque<(Instant, TokenCache)>>,
}

/// What [`AccountsBuilder`](crate::accounts::AccountsBuilder) was told.
pub(crate) struct Settings<K> {
    pub(crate) make_source: Arc<MakeSource<K>>,
    pub(crate) template: Template,
    pub(crate) settings_for: Option<Box<SettingsFor<K>>>,
    pub(crate) fetch_permits: Arc<Semaphore>,
    pub(crate) max_concurrent_fetches: usize,
    /// Apart from `fetch_permits`: ending a session may wait for a fetch, which
    /// may wait for its permit.
    pub(crate) revoke_permits: Arc<Semaphore>,
    pub(crate) capacity: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) revoke_evicted: Option<Duration>,
}

pub(crate) type SettingsFor<K> = dyn Fn(&K, TokenCacheBuilder) -> TokenCacheBuilder + Send + Sync;

impl<K> Shared<K> {
    pub(crate) fn new(settings: Settings<K>) -> Self {
        Self {
            lru: AccountLru::new(settings.capacity),
            tick: AtomicU64::new(1),
            is_shut_down: AtomicBool::new(false),
            maintenance: BackgroundTask::default(),
            is_running: AtomicBool::new(false),
            pending_revocations: Mutex::default(),
            settings,
        }
    }
}
