//! Many accounts as their user sees them.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::accounts::account::Account;
use crate::accounts::lazy_source::LazySource;
use crate::accounts::lru::AccountLru;
use crate::accounts::maintenance;
use crate::accounts::shared::{Config, Inner};
use crate::cache::{TokenCache, TokenCacheBuilder, registry};
use crate::error::{TokenError, TokenErrorKind};

/// The token caches of many accounts, by key. See the [module](crate::accounts).
///
/// Cheap to clone; clones are the same accounts. Building them needs no runtime.
/// Whoever holds a cache of one ([`get_or_create`](Self::get_or_create)) keeps it, also when
/// the account is let go.
pub struct Accounts<K> {
    pub(crate) inner: Arc<Inner<K>>,
}

/// How [`Accounts`] stand at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountsStatus {
    /// How many accounts are kept.
    pub accounts: usize,
    /// How many token fetches are under way; those that wait for their turn do
    /// not count.
    pub fetching: usize,
}

impl<K> Accounts<K> {
    pub(crate) fn with_config(config: Config<K>) -> Self {
        Self {
            inner: Arc::new(Inner {
                lru: AccountLru::new(config.capacity),
                tick: AtomicU64::new(1),
                closed: AtomicBool::new(false),
                is_running: AtomicBool::new(false),
                maintenance: Mutex::default(),
                config,
            }),
        }
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Accounts<K> {
    /// The cache of this key; made if there is none. Counts as a use.
    ///
    /// # Errors
    ///
    /// [`Config`](TokenErrorKind::Config) if the key's
    /// [settings](crate::accounts::AccountsBuilder::settings_for) make no sense, and
    /// [`ShutDown`](TokenErrorKind::ShutDown) after [`shutdown`](Self::shutdown).
    pub fn get_or_create(&self, key: &K) -> Result<TokenCache, TokenError> {
        Ok(self.account(key)?.tokens().clone())
    }

    /// The cache of this key, if there is one: to look at, or to give up a token
    /// or a failure of. No use of it.
    ///
    /// ```
    /// # use tower_bearer::{AccessToken, Accounts};
    /// # let accounts = Accounts::new(|tenant: String| async { AccessToken::new(tenant) });
    /// // Somebody changed a password.
    /// if let Some(tokens) = accounts.get(&"anna".to_owned()) {
    ///     tokens.reset();
    /// }
    /// ```
    pub fn get(&self, key: &K) -> Option<TokenCache> {
        let lru = &self.inner.lru;
        let account = lru.peek(lru.hash(key), key)?;
        Some(account.tokens().clone())
    }

    /// Lets this key's account go at once, and hands out its cache: to
    /// [`revoke`](TokenCache::revoke) it, for one. The next request makes the
    /// account anew.
    pub fn remove(&self, key: &K) -> Option<TokenCache> {
        let lru = &self.inner.lru;
        let account = lru.remove(lru.hash(key), key)?;
        account.tokens().shared.set_clock_watched(false);
        Some(account.tokens().clone())
    }

    pub(crate) fn account(&self, key: &K) -> Result<Arc<Account<K>>, TokenError> {
        let inner = &self.inner;
        let hash = inner.lru.hash(key);
        let tick = inner.tick.load(Ordering::Relaxed);
        match inner.lru.find(hash, key, tick) {
            Some(account) => Ok(account),
            None => self.make(hash, key),
        }
    }

    #[inline(never)]
    fn make(&self, hash: u64, key: &K) -> Result<Arc<Account<K>>, TokenError> {
        let inner = &self.inner;
        let config = &inner.config;
        let source = Box::new(LazySource::new(key.clone(), config.make.clone()));
        let mut builder = TokenCacheBuilder::from_template(source, &config.template);
        if let Some(settings_for) = &config.settings_for {
            builder = settings_for(key, builder);
        }
        let tokens = builder.build().map_err(|error| {
            let what = "the settings of this account make no sense";
            TokenError::new(TokenErrorKind::Config, what).with_source(error)
        })?;
        registry::register(&tokens.shared);
        let account = Account::new(key.clone(), hash, tokens);
        let tick = inner.tick.load(Ordering::Relaxed);
        let inserted = inner.lru.insert(account, key, tick);
        maintenance::evict(inner, inserted.evicted);
        maintenance::ensure(inner);
        maintenance::watch(inner, &inserted.account);
        // After it was inserted, so that a shutdown meanwhile finds it.
        if inner.closed.load(Ordering::SeqCst) {
            inner.lru.remove(hash, key);
            let tokens = &inserted.account.tokens().shared;
            tokens.with_state(|state, _| state.close());
            let what = "the accounts were shut down";
            return Err(TokenError::new(TokenErrorKind::ShutDown, what));
        }
        Ok(inserted.account)
    }

    /// Whether it is known that this account is in use now, so that nobody has
    /// to be told. Never for one that was let go.
    #[inline]
    pub(crate) fn knows_the_use_of(&self, account: &Account<K>) -> bool {
        account.used() == self.inner.tick.load(Ordering::Relaxed)
    }
}

impl<K> Accounts<K> {
    /// How things stand now.
    pub fn status(&self) -> AccountsStatus {
        AccountsStatus {
            accounts: self.inner.lru.len(),
            fetching: self.inner.config.fetches_running(),
        }
    }
}

impl<K> Clone for Accounts<K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<K> fmt::Debug for Accounts<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("status", &self.status())
            .finish()
    }
}
