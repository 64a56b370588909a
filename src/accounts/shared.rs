//! The state that all handles of the accounts share.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashlink::LinkedHashMap;
use tokio::sync::Semaphore;

use crate::accounts::lru::AccountLru;
use crate::accounts::revocations::Revocations;
use crate::cache::{Permits, Template, TokenCache, TokenCacheBuilder};
use crate::error::TokenError;
use crate::source::DynTokenSource;
use crate::sync::lock;
use crate::task::BackgroundTask;

/// What a run of the maintenance task adds to the tick. Between two runs the tick
/// goes up by one for every eighth of the capacity in new accounts, which
/// distinguishes accounts in constant use from those that were used once.
pub(crate) const TIME: u64 = 1 << 24;

/// How many refused keys are remembered; the oldest are forgotten first.
const MAX_REFUSED: usize = 10_000;

pub(crate) struct Shared<K> {
    pub(crate) settings: Settings<K>,
    pub(crate) lru: AccountLru<K>,
    /// The clock of uses: runs of the maintenance task, and turns between them.
    pub(crate) tick: AtomicU64,
    pub(crate) is_shut_down: AtomicBool,
    pub(crate) maintenance: BackgroundTask,
    pub(crate) revocations: Arc<Revocations>,
    /// Limits how many sessions are ended at a time. Separate from the permits of
    /// source calls, because ending a session may wait for a fetch, which may wait
    /// for its permit.
    pub(crate) revoke_permits: Arc<Semaphore>,
    /// Under which number the failures of keys' credentials are kept, for keys whose
    /// last fetch was refused, or is in progress.
    pub(crate) refused: Mutex<LinkedHashMap<K, CredentialsOfKey>>,
    /// The caches that a shutdown has yet to end, by their id.
    pub(crate) leaving: Mutex<HashMap<u64, TokenCache>>,
    /// Held by the shutdown that ends those sessions.
    pub(crate) shutdown: tokio::sync::Mutex<()>,
}

/// The number that stands for a key's credentials in the memory of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialsOfKey {
    /// One of the key's own, where nothing distinguishes the credentials.
    Own(u64),
    Fingerprint(u64),
}

/// The settings of an [`AccountsBuilder`](crate::accounts::AccountsBuilder).
pub(crate) struct Settings<K> {
    pub(crate) make_source: Arc<MakeSource<K>>,
    pub(crate) template: Template,
    pub(crate) settings_for: Option<Box<SettingsFor<K>>>,
    pub(crate) permits: Arc<Permits>,
    pub(crate) max_concurrent_fetches: usize,
    pub(crate) capacity: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) revoke_evicted: Option<Duration>,
}

pub(crate) type SourceFuture =
    Pin<Box<dyn Future<Output = Result<Arc<dyn DynTokenSource>, TokenError>> + Send>>;

/// Creates the token source of a key.
pub(crate) type MakeSource<K> = dyn Fn(K) -> SourceFuture + Send + Sync;

pub(crate) type SettingsFor<K> = dyn Fn(&K, TokenCacheBuilder) -> TokenCacheBuilder + Send + Sync;

impl<K> Shared<K> {
    pub(crate) fn new(settings: Settings<K>) -> Self {
        let permits = settings.max_concurrent_fetches.min(Semaphore::MAX_PERMITS);
        let revoke_permits = Arc::new(Semaphore::new(permits));
        let revocations = Revocations::new(
            revoke_permits.clone(),
            settings.capacity,
            settings.revoke_evicted,
        );
        Self {
            lru: AccountLru::new(settings.capacity),
            tick: AtomicU64::new(TIME),
            is_shut_down: AtomicBool::new(false),
            maintenance: BackgroundTask::default(),
            revocations: Arc::new(revocations),
            revoke_permits,
            refused: Mutex::new(LinkedHashMap::default()),
            leaving: Mutex::default(),
            shutdown: tokio::sync::Mutex::default(),
            settings,
        }
    }

    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }
}

impl<K: Clone + Eq + Hash> Shared<K> {
    /// Remembers under which number the failures of this key's credentials are kept.
    /// Returns whether nothing was remembered of it.
    pub(crate) fn remember_refused(&self, key: &K, credentials: CredentialsOfKey) -> bool {
        let mut refused = lock(&self.refused);
        let is_new = refused.insert(key.clone(), credentials).is_none();
        while refused.len() > MAX_REFUSED {
            refused.pop_front();
        }
        is_new
    }
}
