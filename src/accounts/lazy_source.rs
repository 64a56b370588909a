//! A token source that is made by its first fetch.

use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::accounts::maintenance;
use crate::accounts::shared::{MakeSource, Shared, SourceFuture};
use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::source::{DynTokenSource, TokenSource};
use crate::sync::lock;
use crate::token::{AccessToken, RefreshToken, TokenResponse};

/// Turns a user's closure into a [`MakeSource`].
pub(crate) fn boxed<K, Fut, S, E>(
    make_source: impl Fn(K) -> Fut + Send + Sync + 'static,
) -> impl Fn(K) -> SourceFuture + Send + Sync
where
    Fut: Future<Output = Result<S, E>> + Send + 'static,
    S: TokenSource,
    E: Into<BoxError> + 'static,
{
    move |key| {
        let source = make_source(key);
        Box::pin(async move {
            match source.await {
                Ok(source) => Ok(Arc::new(source) as _),
                Err(error) => Err(TokenError::from_source(error)),
            }
        })
    }
}

/// The token source of one key. It is made as a part of its first fetch, so the
/// cache treats the making like any fetch: one at a time, with a timeout, and
/// with a backoff after a failure.
pub(crate) struct LazySource<K> {
    key: K,
    hash: u64,
    accounts: Weak<Shared<K>>,
    make_source: Arc<MakeSource<K>>,
    source: Mutex<Option<Arc<dyn DynTokenSource>>>,
    /// The one whose credentials were refused, which the closure may replace.
    refused: Mutex<Option<Arc<dyn DynTokenSource>>>,
    // Of the last source that was made.
    holder: Mutex<String>,
    fingerprint: AtomicU64,
    endpoint: AtomicU64,
    user: AtomicU64,
    may_lock: AtomicBool,
    /// The fingerprint, or else a number that the key has for itself.
    local_fingerprint: AtomicU64,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> LazySource<K> {
    pub(crate) fn new(key: K, hash: u64, accounts: &Arc<Shared<K>>) -> Self {
        let refused = lock(&accounts.refused).get(&key).copied();
        Self {
            key,
            hash,
            accounts: Arc::downgrade(accounts),
            make_source: accounts.settings.make_source.clone(),
            source: Mutex::new(None),
            refused: Mutex::new(None),
            holder: Mutex::default(),
            fingerprint: AtomicU64::new(0),
            endpoint: AtomicU64::new(0),
            user: AtomicU64::new(0),
            may_lock: AtomicBool::new(true),
            local_fingerprint: AtomicU64::new(refused.unwrap_or_else(|| fastrand::u64(1..))),
        }
    }

    /// Returns the source, if it was made.
    fn get(&self) -> Option<Arc<dyn DynTokenSource>> {
        lock(&self.source).clone()
    }

    /// Returns the source that was made last.
    fn last(&self) -> Option<Arc<dyn DynTokenSource>> {
        self.get().or_else(|| lock(&self.refused).clone())
    }

    async fn get_or_make(&self) -> Result<Arc<dyn DynTokenSource>, TokenError> {
        if let Some(source) = self.get() {
            return Ok(source);
        }
        let source = (self.make_source)(self.key.clone()).await?;
        *lock(&self.holder) = source.holder();
        self.remember_fingerprint(&*source);
        self.endpoint.store(source.endpoint(), Ordering::Relaxed);
        self.user.store(source.user(), Ordering::Relaxed);
        self.may_lock.store(source.may_lock(), Ordering::Relaxed);
        *lock(&self.source) = Some(source.clone());
        *lock(&self.refused) = None;
        Ok(source)
    }

    fn remember_fingerprint(&self, source: &dyn DynTokenSource) {
        let fingerprint = source.fingerprint();
        self.fingerprint.store(fingerprint, Ordering::Relaxed);
        if fingerprint != 0 {
            self.local_fingerprint.store(fingerprint, Ordering::Relaxed);
        }
    }

    /// Remembers by which number the failures of this key's credentials are found,
    /// also after the account was evicted.
    fn remember(&self, fetched: &Result<TokenResponse, TokenError>) {
        let Some(accounts) = self.accounts.upgrade() else {
            return;
        };
        use TokenErrorKind::{InvalidResponse, Refused, Unavailable, UnexpectedRedirect};
        match fetched.as_ref().map_err(TokenError::kind) {
            Ok(_) => {
                lock(&accounts.refused).remove(&self.key);
                maintenance::on_worked(&accounts, self.hash, &self.key);
            }
            Err(Refused | Unavailable | InvalidResponse | UnexpectedRedirect) => {
                let fingerprint = self.local_fingerprint.load(Ordering::Relaxed);
                accounts.remember_refused(&self.key, fingerprint);
            }
            Err(_) => {}
        }
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> TokenSource for LazySource<K> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        let fetched = self.get_or_make().await?.fetch().await;
        if matches!(&fetched, Err(error) if error.kind() == TokenErrorKind::Refused) {
            // The closure may return other credentials next time.
            *lock(&self.refused) = lock(&self.source).take();
        }
        self.remember(&fetched);
        fetched
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.get_or_make().await?.refresh(refresh_token).await
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint.load(Ordering::Relaxed)
    }

    fn holder(&self) -> String {
        lock(&self.holder).clone()
    }

    fn local_fingerprint(&self) -> u64 {
        self.local_fingerprint.load(Ordering::Relaxed)
    }

    fn endpoint(&self) -> u64 {
        self.endpoint.load(Ordering::Relaxed)
    }

    fn user(&self) -> u64 {
        self.user.load(Ordering::Relaxed)
    }

    fn is_prepared(&self) -> bool {
        self.get().is_some_and(|source| source.is_prepared())
    }

    async fn prepare(&self) -> Result<(), TokenError> {
        let source = self.get_or_make().await?;
        source.prepare().await?;
        // What was prepared may be other credentials.
        self.remember_fingerprint(&*source);
        Ok(())
    }

    async fn reread(&self) -> Result<(), TokenError> {
        if let Some(source) = self.last() {
            source.reread().await?;
            self.remember_fingerprint(&*source);
        }
        Ok(())
    }

    fn contents(&self) -> Option<u64> {
        self.last()?.contents()
    }

    fn may_lock(&self) -> bool {
        self.may_lock.load(Ordering::Relaxed)
    }

    async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        let source = self.get_or_make().await?;
        source.revoke(access_token, refresh_token).await
    }
}
