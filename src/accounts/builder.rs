//! The builder of many accounts.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::accounts::accounts::Accounts;
use crate::accounts::lazy_source::{MakeSource, make};
use crate::accounts::maintenance;
use crate::accounts::shared::{Config, SettingsFor};
use crate::cache::{TokenCache, TokenCacheBuilder};
use crate::error::{BoxError, ConfigError, TokenError, TokenErrorKind};
use crate::source::TokenSource;

impl<K: Clone + Send + Sync + 'static> Accounts<K> {
    /// Accounts with the default settings. The closure makes the
    /// [source](TokenSource) of a key when its token is first needed, as part of
    /// its first fetch; a failure is that key's alone, and treated like that of a
    /// fetch. After refused credentials the source is made anew.
    pub fn new<Fut, S, E>(f: impl Fn(K) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: TokenSource,
        E: Into<BoxError> + 'static,
    {
        match Self::builder(f).build() {
            Ok(accounts) => accounts,
            Err(error) => unreachable!("the defaults make sense: {error}"),
        }
    }

    /// Accounts with settings of one's own.
    pub fn builder<Fut, S, E>(f: impl Fn(K) -> Fut + Send + Sync + 'static) -> AccountsBuilder<K>
    where
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: TokenSource,
        E: Into<BoxError> + 'static,
    {
        AccountsBuilder::new(f)
    }
}

/// Settings for [`Accounts`]; made by [`Accounts::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct AccountsBuilder<K> {
    make: Arc<MakeSource<K>>,
    template: TokenCacheBuilder,
    settings_for: Option<Box<SettingsFor<K>>>,
    capacity: usize,
    idle: Duration,
    fetches: usize,
    revoke_after: Option<Duration>,
}

impl<K: Clone + Send + Sync + 'static> AccountsBuilder<K> {
    pub(crate) fn new<Fut, S, E>(f: impl Fn(K) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: TokenSource,
        E: Into<BoxError> + 'static,
    {
        let nothing = || async {
            let what = "a template has no source";
            Err::<crate::AccessToken, _>(TokenError::new(TokenErrorKind::Config, what))
        };
        Self {
            make: Arc::new(make(f)),
            template: TokenCache::builder(nothing),
            settings_for: None,
            capacity: 10_000,
            idle: Duration::from_secs(3600),
            fetches: 64,
            revoke_after: None,
        }
    }

    /// How many accounts are kept at most. One more, and the least recently used
    /// one is let go. Default: 10,000.
    pub fn capacity(mut self, accounts: usize) -> Self {
        self.capacity = accounts;
        self
    }

    /// After how long without a request an account is let go. Default: 1 hour.
    pub fn idle_timeout(mut self, span: Duration) -> Self {
        self.idle = span;
        self
    }

    /// How many token fetches, of all accounts together, are under way at once;
    /// the others wait for their turn. That wait is part of each caller's
    /// [wait timeout](TokenCacheBuilder::wait_timeout), but not of the fetch's own time. Default:
    /// 64.
    pub fn max_concurrent_fetches(mut self, fetches: usize) -> Self {
        self.fetches = fetches;
        self
    }

    /// Ends the session of an account that was let go at the server, too, so long
    /// afterwards, so that requests under way can finish. Best effort, and only
    /// while a runtime runs in which an account was made. Default: sessions end by
    /// themselves.
    pub fn revoke_evicted(mut self, after: Duration) -> Self {
        self.revoke_after = Some(after);
        self
    }

    /// Settings that the caches of all accounts have in common.
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

    /// Settings of each account's own, its name in a [store](crate::store) for
    /// one, on top of those that all have in common. Called when an account is
    /// made. Each account whose durations differ pays for settings of its own
    /// with some 300 bytes.
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

    /// Builds the accounts: none yet. Needs no runtime.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense; the error names it.
    pub fn build(self) -> Result<Accounts<K>, ConfigError> {
        for (field, is_zero) in [
            ("capacity", self.capacity == 0),
            ("idle_timeout", self.idle.is_zero()),
            ("max_concurrent_fetches", self.fetches == 0),
        ] {
            if is_zero {
                return Err(ConfigError::new(field, "must be more than zero"));
            }
        }
        let mut template = self.template.into_template()?;
        let limit = self.fetches.min(Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(limit));
        template.settings.fetch_permits = Some(permits.clone());
        template.settings.clock_check_every = Some(maintenance::interval(self.idle));
        Ok(Accounts::with_config(Config {
            make: self.make,
            template,
            settings_for: self.settings_for,
            permits,
            max_fetches: limit,
            revoke_permits: Arc::new(Semaphore::new(limit)),
            capacity: self.capacity,
            idle: self.idle,
            revoke_after: self.revoke_after,
        }))
    }
}

impl<K> fmt::Debug for AccountsBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountsBuilder")
            .field("settings", &self.template)
            .field("capacity", &self.capacity)
            .field("idle", &self.idle)
            .field("max_concurrent_fetches", &self.fetches)
            .field("revoke_evicted", &self.revoke_after)
            .finish_non_exhaustive()
    }
}
