//! The accounts as their users see them.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::accounts::account::Account;
use crate::accounts::hot_tokens::FoundToken;
use crate::accounts::lazy_source::LazySource;
use crate::accounts::maintenance;
use crate::accounts::shared::Shared;
use crate::cache::{self, TokenCache, TokenCacheBuilder, no_runtime, registry};
use crate::error::{TokenError, TokenErrorKind};
use crate::sync::lock;

/// Token caches of many accounts, by key. See the [module](crate::accounts).
///
/// Cheap to clone; clones share the same accounts. Building them needs no runtime. A
/// [`TokenCache`] from [`get_or_create`](Self::get_or_create) stays usable after its
/// account was evicted.
pub struct Accounts<K> {
    pub(crate) shared: Arc<Shared<K>>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Accounts<K> {
    /// Returns the cache of this key, creating it if there is none. Counts as a use.
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
    /// Fails with [`Config`](TokenErrorKind::Config) if the
    /// [settings](crate::accounts::AccountsBuilder::settings_for) of this key are
    /// invalid, and with [`ShutDown`](TokenErrorKind::ShutDown) after
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
        Some(account.tokens().clone())
    }

    pub(crate) fn account(&self, key: &K) -> Result<Arc<Account>, TokenError> {
        let shared = &self.shared;
        let hash = shared.lru.hash(key);
        match shared.lru.get(hash, key, shared.tick()) {
            Some(found) => {
                // A token that came from the fleet's store.
                if found.is_fresh && found.account.tokens().has_token() {
                    maintenance::on_worked(shared, hash, key);
                }
                Ok(found.account)
            }
            None => self.create(hash, key),
        }
    }

    /// Returns the token of this key, if there is one for which nothing else of the
    /// account is needed, and counts that as a use. Does not return the token of the
    /// cache with the id `last`.
    #[inline]
    pub(crate) fn hot(&self, key: &K, last: u64) -> Option<FoundToken> {
        self.shared.lru.hot(key, self.shared.tick(), last)
    }

    /// Returns the cache with this id, whose key has that hash, if it is still
    /// there.
    pub(crate) fn cache_of(&self, hash: u64, cache_id: u64) -> Option<Arc<cache::Shared>> {
        self.shared.lru.cache_of(hash, cache_id)
    }

    /// Keeps the account's token where [`hot`](Self::hot) finds it.
    pub(crate) fn keep_hot(&self, key: &K, account: &Arc<Account>) {
        if let Some(hot) = account.tokens().shared.hot_token() {
            self.shared.lru.set_hot(key, account, hot);
        }
    }

    #[inline(never)]
    fn create(&self, hash: u64, key: &K) -> Result<Arc<Account>, TokenError> {
        let shared = &self.shared;
        let settings = &shared.settings;
        let source = Box::new(LazySource::new(key.clone(), shared));
        let mut builder = TokenCacheBuilder::from_template(source, &settings.template);
        if let Some(settings_for) = &settings.settings_for {
            builder = settings_for(key, builder);
        }
        let tokens = builder.build().map_err(|error| {
            let what = "the settings of this account are invalid";
            TokenError::new(TokenErrorKind::Config, what).with_source(error)
        })?;
        registry::register(&tokens.shared);
        let account = Account::new(tokens);
        let account = shared.lru.insert(account, hash, key, shared.tick());
        maintenance::keep_capacity(shared, Some(&account));
        maintenance::ensure_running(shared);
        // Checked after the insertion, so that either this or a concurrent shutdown
        // finds the account.
        if shared.is_shut_down.load(Ordering::SeqCst) {
            shared.lru.remove(hash, key);
            let tokens = &account.tokens().shared;
            tokens.with_state(|state, _| state.close());
            let what = "the accounts were shut down";
            return Err(TokenError::new(TokenErrorKind::ShutDown, what));
        }
        Ok(account)
    }

    /// Returns whether the LRU knows that this account is in use now, so that a
    /// request need not record it. False for an evicted account.
    #[inline]
    pub(crate) fn is_recorded_as_used(&self, account: &Account) -> bool {
        account.used() == self.shared.tick()
    }
}

impl<K> Accounts<K> {
    /// Returns the number of accounts.
    pub fn len(&self) -> usize {
        self.shared.lru.len()
    }

    /// Returns whether there is no account.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of token requests in progress, whether quick or slow.
    /// Requests that wait because of
    /// [`max_concurrent_fetches`](crate::accounts::AccountsBuilder::max_concurrent_fetches)
    /// do not count, nor does one whose source waits for another account's token.
    ///
    /// May exceed `max_concurrent_fetches`: a request that takes more than a second
    /// makes room for another, and still counts here until it is answered.
    pub fn fetches_in_progress(&self) -> usize {
        self.shared.settings.permits.in_progress()
    }
}

impl<K: Send + Sync + 'static> Accounts<K> {
    /// Stops handing out tokens, evicts all accounts and ends their sessions,
    /// [`max_concurrent_fetches`](crate::accounts::AccountsBuilder::max_concurrent_fetches)
    /// at a time. No further token request is sent; those in progress are waited
    /// for, and their sessions ended. Call it at the end of a program, after its
    /// last request.
    ///
    /// Continues if the caller leaves or `limit` is over, as long as the runtime
    /// lives. Another call resumes what is left: sessions that could not be ended
    /// are tried again.
    ///
    /// # Errors
    ///
    /// Fails with the first error of a session that could not be ended, with
    /// [`Timeout`](TokenErrorKind::Timeout) if they were not all ended within
    /// `limit`, and with [`NoRuntime`](TokenErrorKind::NoRuntime) outside a tokio
    /// runtime. The accounts are shut down in any case.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), TokenError> {
        let shared = &self.shared;
        shared.is_shut_down.store(true, Ordering::SeqCst);
        let mut accounts = shared.lru.evict_all();
        accounts.extend(shared.revocations.take_all());
        for account in accounts {
            let tokens = account.tokens().clone();
            tokens.close();
            lock(&shared.leaving).insert(tokens.shared.cache_id, tokens);
        }
        shared.settings.permits.close();
        let runtime = Handle::try_current().map_err(no_runtime)?;
        let task = runtime.spawn(end_all(shared.clone()));
        match timeout(limit, task).await {
            Ok(ended) => ended.map_err(no_runtime)?,
            Err(_) => {
                let what = format!("not all sessions were ended within {limit:?}");
                Err(TokenError::new(TokenErrorKind::Timeout, what))
            }
        }
    }
}

/// Ends all sessions that a shutdown has yet to end. Those that cannot be ended are
/// left for the next shutdown.
async fn end_all<K>(shared: Arc<Shared<K>>) -> Result<(), TokenError> {
    let _turn = shared.shutdown.lock().await;
    let caches: Vec<_> = lock(&shared.leaving).values().cloned().collect();
    let mut tasks = JoinSet::new();
    for tokens in caches {
        let permits = shared.revoke_permits.clone();
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            let ended = tokens.shutdown().await;
            (tokens.shared.cache_id, ended)
        });
    }
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let Ok((cache_id, ended)) = ended else {
            continue;
        };
        if ended.is_ok() {
            lock(&shared.leaving).remove(&cache_id);
        }
        result = result.and(ended);
    }
    result
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
