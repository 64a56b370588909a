//! What all handles of the accounts share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::accounts::lazy_source::MakeSource;
use crate::accounts::lru::AccountLru;
use crate::cache::{Template, TokenCache, TokenCacheBuilder};

pub(crate) struct Inner<K> {
    pub(crate) config: Config<K>,
    pub(crate) lru: AccountLru<K>,
    /// Goes up by one with each of the maintenance's rounds, from 1.
    pub(crate) tick: AtomicU64,
    pub(crate) closed: AtomicBool,
    /// A maintenance watches the clock.
    pub(crate) is_running: AtomicBool,
    pub(crate) maintenance: Mutex<Maintenance>,
}

/// What a user set.
pub(crate) struct Config<K> {
    pub(crate) make: Arc<MakeSource<K>>,
    pub(crate) template: Template,
    pub(crate) settings_for: Option<Box<SettingsFor<K>>>,
    pub(crate) permits: Arc<Semaphore>,
    /// How many permits there are.
    pub(crate) max_fetches: usize,
    /// For those who end sessions: they may wait for one who waits at the other.
    pub(crate) revoke_permits: Arc<Semaphore>,
    pub(crate) capacity: usize,
    pub(crate) idle: Duration,
    pub(crate) revoke_after: Option<Duration>,
}

pub(crate) type SettingsFor<K> = dyn Fn(&K, TokenCacheBuilder) -> TokenCacheBuilder + Send + Sync;

/// What the maintenance has to do.
#[derive(Default)]
pub(crate) struct Maintenance {
    pub(crate) task: Option<JoinHandle<()>>,
    /// Scope sessions are to be ended, and when; in that order.
    pub(crate) pending_revocations: VecDeque<(Instant, TokenCache)>,
}

impl<K> Config<K> {
    /// How many fetches hold a permit.
    pub(crate) fn fetches_running(&self) -> usize {
        self.max_fetches
            .saturating_sub(self.permits.available_permits())
    }
}
