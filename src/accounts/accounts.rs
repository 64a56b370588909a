//! The accounts as their user sees them.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::accounts::lazy_source::LazySource;
use crate::accounts::lru::Account;
use crate::accounts::maintenance;
use crate::accounts::shared::Shared;
use crate::cache::{TokenCache, TokenCacheBuilder, registry};
use crate::error::{TokenError, TokenErrorKind};
use crate::sync::lock;

/// The token caches of many accounts, by key. See the [module](crate::accounts).
///
/// Cheap to clone; clones share the same accounts. Building one needs no
/// runtime. A [`TokenCache`] from [`get_or_create`](Self::get_or_create) stays
/// usable after its account was evicted.
pub struct Accounts<K> {
    pub(crate) shared: Arc<Shared<K>>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Accounts<K> {
    /// Returns the cache of this key, and creates it if there is none. Counts as
    /// a use.
    ///
    /// ```
    /// # use tower_bearer::{AccessToken, Accounts};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_bearer::TokenError> {
    /// let accounts = Accounts::new(|tenant: String| async { AccessToken::new(tenant) });
    /// let tokens = accounts.get_or_create(&"anna".to_owned())?;
    /// assert_eq!(tokens.token().await?.secret(), "anna");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](TokenErrorKind::Config) if the
    /// [settings](crate::accounts::AccountsBuilder::settings_for) of this key are
    /// invalid, and [`ShutDown`](TokenErrorKind::ShutDown) after
    /// [`shutdown`](Self::shutdown).
    pub fn get_or_create(&self, key: &K) -> Result<TokenCache, TokenError> {
        Ok(self.account(key)?.tokens().clone())
    }

    /// Returns the cache of this key, if there is one. Does not count as a use.
    ///
    /// ```
    /// # use tower_bearer::{AccessToken, Accounts};
    /// # let accounts = Accounts::new(|tenant: String| async { AccessToken::new(tenant) });
    /// // The password was corrected: try again without waiting for the backoff.
    /// if let Some(tokens) = accounts.get(&"anna".to_owned()) {
    ///     tokens.reset();
    /// }
    /// ```
    pub fn get(&self, key: &K) -> Option<TokenCache> {
        let lru = &self.shared.lru;
        let account = lru.peek(lru.hash(key), key)?;
        Some(account.tokens().clone())
    }

    /// Evicts the account of this key at once and returns its cache, for example
    /// to [`revoke`](TokenCache::revoke) its session. The next request for this
    /// key creates the account again.
    pub fn remove(&self, key: &K) -> Option<TokenCache> {
        let lru = &self.shared.lru;
        let account = lru.remove(lru.hash(key), key)?;
        account.tokens().shared.set_clock_watched(false);
        Some(account.tokens().clone())
    }

    pub(crate) fn account(&self, key: &K) -> Result<Arc<Account<K>>, TokenError> {
        let shared = &self.shared;
        let hash = shared.lru.hash(key);
        let tick = shared.tick.load(Ordering::Relaxed);
        match shared.lru.get(hash, key, tick) {
            Some(account) => Ok(account),
            None => self.create(hash, key),
        }
    }

    #[inline(never)]
    fn create(&self, hash: u64, key: &K) -> Result<Arc<Account<K>>, TokenError> {
        let shared = &self.shared;
        let settings = &shared.settings;
        let source = Box::new(LazySource::new(key.clone(), settings.make_source.clone()));
        let mut builder = TokenCacheBuilder::from_template(source, &settings.template);
        if let Some(settings_for) = &settings.settings_for {
            builder = settings_for(key, builder);
        }
        let tokens = builder.build().map_err(|error| {
            let what = "the settings of this account are invalid";
            TokenError::new(TokenErrorKind::Config, what).with_source(error)
        })?;
        registry::register(&tokens.shared);
        let account = Account::new(key.clone(), hash, tokens);
        let tick = shared.tick.load(Ordering::Relaxed);
        let inserted = shared.lru.insert(account, key, tick);
        maintenance::on_evicted(shared, inserted.evicted);
        maintenance::ensure_running(shared);
        maintenance::watch_clock(shared, &inserted.account);
        // Checked after the insertion, so that either this or a shutdown at the
        // same time finds the account.
        if shared.is_shut_down.load(Ordering::SeqCst) {
            shared.lru.remove(hash, key);
            let tokens = &inserted.account.tokens().shared;
            tokens.with_state(|state, _| state.close());
            let what = "the accounts were shut down";
            return Err(TokenError::new(TokenErrorKind::ShutDown, what));
        }
        Ok(inserted.account)
    }

    /// Whether the LRU knows that this account is in use now, so that a request
    /// need not record it. False for an evicted account.
    #[inline]
    pub(crate) fn is_recorded_as_used(&self, account: &Account<K>) -> bool {
        account.used() == self.shared.tick.load(Ordering::Relaxed)
    }
}

impl<K> Accounts<K> {
    /// Returns how many accounts there are.
    pub fn len(&self) -> usize {
        self.shared.lru.len()
    }

    /// Whether there is no account.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many token fetches are in progress. Those that wait because
    /// of [`max_concurrent_fetches`](crate::accounts::AccountsBuilder::max_concurrent_fetches)
    /// do not count.
    pub fn fetches_in_progress(&self) -> usize {
        let settings = &self.shared.settings;
        let available = settings.fetch_permits.available_permits();
        settings.max_concurrent_fetches.saturating_sub(available)
    }

    /// Stops handing out tokens, evicts all accounts and ends their sessions,
    /// [`max_concurrent_fetches`](crate::accounts::AccountsBuilder::max_concurrent_fetches)
    /// at a time. Call it at the end of a program, after its last request.
    ///
    /// # Errors
    ///
    /// The first error of a session that could not be ended, or
    /// [`Timeout`](TokenErrorKind::Timeout) if they were not all ended within
    /// `limit`. The accounts are shut down in any case.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), TokenError> {
        let shared = &self.shared;
        shared.is_shut_down.store(true, Ordering::SeqCst);
        let accounts = shared.lru.evict_while(|_| true);
        let mut caches: Vec<_> = accounts.iter().map(|it| it.tokens().clone()).collect();
        let pending = std::mem::take(&mut *lock(&shared.pending_revocations));
        caches.extend(pending.into_iter().map(|(_, tokens)| tokens));
        let mut tasks = JoinSet::new();
        for tokens in caches {
            tokens.shared.with_state(|state, _| state.close());
            let permits = shared.settings.revoke_permits.clone();
            tasks.spawn(async move {
                let _permit = permits.acquire().await;
                tokens.shutdown().await
            });
        }
        let mut result = Ok(());
        let all_ended = timeout(limit, async {
            while let Some(ended) = tasks.join_next().await {
                let ended = ended.unwrap_or(Ok(()));
                result = std::mem::replace(&mut result, Ok(())).and(ended);
            }
        });
        if all_ended.await.is_err() {
            let what = format!("not all sessions were ended within {limit:?}");
            return Err(TokenError::new(TokenErrorKind::Timeout, what));
        }
        result
    }
}

impl<K> Clone for Accounts<K> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<K> fmt::Debug for Accounts<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("len", &self.len())
            .field("fetches_in_progress", &self.fetches_in_progress())
            .finish()
    }
}
