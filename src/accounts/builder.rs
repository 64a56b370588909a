//! The builder of the accounts.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::accounts::accounts::Accounts;
use crate::accounts::lazy_source;
use crate::accounts::shared::{MakeSource, Settings, SettingsFor, Shared};
use crate::cache::{LONGEST, Permits, TokenCache, TokenCacheBuilder};
use crate::error::{BoxError, ConfigError, TokenError, TokenErrorKind};
use crate::source::TokenSource;

impl<K: Clone + Send + Sync + 'static> Accounts<K> {
    /// Creates accounts with the default settings.
    ///
    /// The closure creates the [token source](TokenSource) of a key. It is called
    /// during the key's first fetch, and again after the token endpoint refused the
    /// credentials. An error of the closure affects this key only, and is treated
    /// like an error of a fetch.
    pub fn new<Fut, S, E>(f: impl Fn(K) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: TokenSource,
        E: Into<BoxError> + 'static,
    {
        match Self::builder(f).build() {
            Ok(accounts) => accounts,
            Err(error) => unreachable!("the default settings are valid: {error}"),
        }
    }

    /// Returns a builder for accounts with custom settings. The closure is as for
    /// [`new`](Self::new).
    pub fn builder<Fut, S, E>(f: impl Fn(K) -> Fut + Send + Sync + 'static) -> AccountsBuilder<K>
    where
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: TokenSource,
        E: Into<BoxError> + 'static,
    {
        AccountsBuilder::new(f)
    }
}

/// Builder of [`Accounts`], made by [`Accounts::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct AccountsBuilder<K> {
    make_source: Arc<MakeSource<K>>,
    template: TokenCacheBuilder,
    settings_for: Option<Box<SettingsFor<K>>>,
    capacity: usize,
    idle_timeout: Duration,
    max_concurrent_fetches: usize,
    revoke_evicted: Option<Duration>,
}

impl<K: Clone + Send + Sync + 'static> AccountsBuilder<K> {
    pub(crate) fn new<Fut, S, E>(f: impl Fn(K) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: TokenSource,
        E: Into<BoxError> + 'static,
    {
        let no_source = || async {
            let what = "a template has no source";
            Err::<crate::AccessToken, _>(TokenError::new(TokenErrorKind::Config, what))
        };
        Self {
            make_source: Arc::new(lazy_source::boxed(f)),
            template: TokenCache::builder(no_source).label("accounts"),
            settings_for: None,
            capacity: 10_000,
            idle_timeout: Duration::from_secs(3600),
            max_concurrent_fetches: 64,
            revoke_evicted: None,
        }
    }

    /// Sets the maximum number of accounts. When another one gets its first token,
    /// the least recently used is evicted. Default: 10,000.
    ///
    /// An account is not evicted while it is in use: during a fetch, while a request
    /// waits for its token, and as long as there is a [`TokenCache`] of it. Keys
    /// that have not had a token yet take the free places, or an eighth of the
    /// capacity in addition, so that unknown keys evict no account that works.
    pub fn capacity(mut self, accounts: usize) -> Self {
        self.capacity = accounts;
        self
    }

    /// Sets how long an account stays without a request before it is evicted.
    /// Default: 1 hour.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets how many token requests, of all accounts together, may be in their first
    /// second at a time; further ones wait. That wait is part of each caller's [wait
    /// timeout](TokenCacheBuilder::wait_timeout), but not of the [source
    /// timeout](TokenCacheBuilder::source_timeout). Default: 64.
    ///
    /// A request counts until it is answered, for a second at most, and not while
    /// its source waits for another account's token. An endpoint whose request takes
    /// longer is slow until it answers within a second again, and while as many as a
    /// quarter of the number take longer there. All slow endpoints share a quarter
    /// of the number, so an endpoint that hangs delays the accounts of others by a
    /// second, once. If a source is not a grant, its endpoint is unknown, and its
    /// account counts as an endpoint.
    ///
    /// In all, at most this number of requests are in their first second. In
    /// addition there are at most a quarter as many at endpoints known to be slow,
    /// and those that turned out slow on their way, at most this number and a
    /// quarter for each endpoint.
    pub fn max_concurrent_fetches(mut self, fetches: usize) -> Self {
        self.max_concurrent_fetches = fetches;
        self
    }

    /// Ends the session of an evicted account at the server as well, `after` its
    /// eviction, so that requests in progress can finish. Best effort, and only
    /// while a runtime runs in which an account was created. Default: sessions are
    /// left to expire.
    ///
    /// At most [`capacity`](Self::capacity) sessions wait for their end. With more,
    /// the oldest are ended early, and with twice as many left to expire.
    pub fn revoke_evicted(mut self, after: Duration) -> Self {
        self.revoke_evicted = Some(after);
        self
    }

    /// Changes the cache settings that all accounts share.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_bearer::{AccessToken, Accounts};
    ///
    /// let accounts = Accounts::builder(|tenant: String| async { AccessToken::new(tenant) })
    ///     .settings(|cache| cache.wait_timeout(Duration::from_secs(5)).label("tenants"))
    ///     .capacity(500)
    ///     .build()?;
    /// # let _ = accounts;
    /// # Ok::<_, tower_bearer::ConfigError>(())
    /// ```
    pub fn settings(mut self, f: impl FnOnce(TokenCacheBuilder) -> TokenCacheBuilder) -> Self {
        self.template = f(self.template);
        self
    }

    /// Changes the cache settings of single accounts, for example their name in a
    /// [store](crate::store). The closure is called when an account is created, with
    /// the settings that all accounts share. An account with other durations takes
    /// about 300 bytes more.
    ///
    /// ```
    /// use tower_bearer::{AccessToken, Accounts, store::MemoryStore};
    ///
    /// let store = MemoryStore::new();
    /// let accounts = Accounts::builder(|tenant: String| async { AccessToken::new(tenant) })
    ///     .settings_for(move |tenant, cache| cache.store(store.clone(), tenant))
    ///     .build()?;
    /// # let _ = accounts;
    /// # Ok::<_, tower_bearer::ConfigError>(())
    /// ```
    pub fn settings_for(
        mut self,
        f: impl Fn(&K, TokenCacheBuilder) -> TokenCacheBuilder + Send + Sync + 'static,
    ) -> Self {
        self.settings_for = Some(Box::new(f));
        self
    }

    /// Builds the accounts, of which there are none yet. Needs no tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if a setting is invalid; the error names it.
    pub fn build(self) -> Result<Accounts<K>, ConfigError> {
        for (field, is_zero) in [
            ("capacity", self.capacity == 0),
            ("idle_timeout", self.idle_timeout.is_zero()),
            ("max_concurrent_fetches", self.max_concurrent_fetches == 0),
        ] {
            if is_zero {
                return Err(ConfigError::new(field, "must be more than zero"));
            }
        }
        if self.revoke_evicted.is_some_and(|after| after > LONGEST) {
            let reason = "must not be longer than 10 years";
            return Err(ConfigError::new("revoke_evicted", reason));
        }
        let mut template = self.template.into_template()?;
        let permits = Arc::new(Permits::new(self.max_concurrent_fetches));
        template.settings.permits = Some(permits.clone());
        template.settings.many_threads = false;
        let settings = Settings {
            make_source: self.make_source,
            template,
            settings_for: self.settings_for,
            permits,
            max_concurrent_fetches: self.max_concurrent_fetches,
            capacity: self.capacity,
            idle_timeout: self.idle_timeout,
            revoke_evicted: self.revoke_evicted,
        };
        Ok(Accounts {
            shared: Arc::new(Shared::new(settings)),
        })
    }
}

impl<K> fmt::Debug for AccountsBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountsBuilder")
            .field("settings", &self.template)
            .field("capacity", &self.capacity)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_concurrent_fetches", &self.max_concurrent_fetches)
            .field("revoke_evicted", &self.revoke_evicted)
            .finish_non_exhaustive()
    }
}
