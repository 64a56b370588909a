//! A token source that its first fetch creates.

use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::accounts::maintenance;
use crate::accounts::shared::{CredentialsOfKey, MakeSource, Shared, SourceFuture};
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

/// The token source of one key. It is created during its first fetch, so the cache
/// treats its creation like any fetch: one at a time, with a timeout, and with a
/// backoff after a failure.
pub(crate) struct LazySource<K> {
    key: K,
    accounts: Weak<Shared<K>>,
    make_source: Arc<MakeSource<K>>,
    source: Mutex<Source>,
    /// The number that stands for credentials that nothing distinguishes: unique to
    /// the key.
    own: u64,
    /// The fingerprint of the credentials; zero if they have none.
    fingerprint: AtomicU64,
}

enum Source {
    None,
    Made(Arc<dyn DynTokenSource>),
    /// A source whose credentials were refused: the next fetch creates another.
    Refused(Arc<dyn DynTokenSource>),
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> LazySource<K> {
    pub(crate) fn new(key: K, accounts: &Arc<Shared<K>>) -> Self {
        let refused = lock(&accounts.refused).get(&key).copied();
        let (own, fingerprint) = match refused {
            Some(CredentialsOfKey::Own(own)) => (own, 0),
            Some(CredentialsOfKey::Fingerprint(fingerprint)) => (fastrand::u64(1..), fingerprint),
            None => (fastrand::u64(1..), 0),
        };
        Self {
            key,
            accounts: Arc::downgrade(accounts),
            make_source: accounts.settings.make_source.clone(),
            source: Mutex::new(Source::None),
            own,
            fingerprint: AtomicU64::new(fingerprint),
        }
    }

    /// Returns the source, if it was created and not refused.
    fn get(&self) -> Option<Arc<dyn DynTokenSource>> {
        match &*lock(&self.source) {
            Source::Made(source) => Some(source.clone()),
            Source::None | Source::Refused(_) => None,
        }
    }

    /// Returns the source that was created last, refused or not.
    fn last(&self) -> Option<Arc<dyn DynTokenSource>> {
        match &*lock(&self.source) {
            Source::Made(source) | Source::Refused(source) => Some(source.clone()),
            Source::None => None,
        }
    }

    async fn get_or_make(&self) -> Result<Arc<dyn DynTokenSource>, TokenError> {
        if let Some(source) = self.get() {
            return Ok(source);
        }
        let source = (self.make_source)(self.key.clone()).await?;
        self.remember_fingerprint(&*source);
        *lock(&self.source) = Source::Made(source.clone());
        Ok(source)
    }

    fn remember_fingerprint(&self, source: &dyn DynTokenSource) {
        let fingerprint = source.local_fingerprint();
        self.fingerprint.store(fingerprint, Ordering::Relaxed);
    }

    fn credentials(&self) -> CredentialsOfKey {
        match self.fingerprint.load(Ordering::Relaxed) {
            0 => CredentialsOfKey::Own(self.own),
            fingerprint => CredentialsOfKey::Fingerprint(fingerprint),
        }
    }

    /// Remembers the key's own number before it is used: the account may be removed,
    /// and come back, while the request is in progress. Returns whether nothing was
    /// remembered of the key.
    fn remember_own(&self) -> bool {
        let credentials = self.credentials();
        let is_own = matches!(credentials, CredentialsOfKey::Own(_));
        let accounts = self.accounts.upgrade().filter(|_| is_own);
        accounts.is_some_and(|accounts| accounts.remember_refused(&self.key, credentials))
    }

    /// Remembers under which number the failures of this key's credentials are kept,
    /// also after the account is evicted. `is_new`: nothing was remembered before.
    fn remember(&self, fetched: &Result<TokenResponse, TokenError>, is_new: bool) {
        let Some(accounts) = self.accounts.upgrade() else {
            return;
        };
        use TokenErrorKind::{InvalidResponse, Refused, Unavailable, UnexpectedRedirect};
        match fetched.as_ref().map_err(TokenError::kind) {
            Ok(_) => {
                lock(&accounts.refused).remove(&self.key);
                maintenance::on_worked(&accounts, accounts.lru.hash(&self.key), &self.key);
            }
            Err(Refused | Unavailable | InvalidResponse | UnexpectedRedirect) => {
                accounts.remember_refused(&self.key, self.credentials());
            }
            Err(_) if is_new => {
                lock(&accounts.refused).remove(&self.key);
            }
            Err(_) => {}
        }
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> TokenSource for LazySource<K> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        let source = self.get_or_make().await?;
        let is_new = self.remember_own();
        let fetched = source.fetch().await;
        if matches!(&fetched, Err(error) if error.kind() == TokenErrorKind::Refused) {
            // The closure may return other credentials next time.
            if let Some(source) = self.get() {
                *lock(&self.source) = Source::Refused(source);
            }
        }
        self.remember(&fetched, is_new);
        fetched
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.get_or_make().await?.refresh(refresh_token).await
    }

    fn fingerprint(&self) -> u64 {
        self.last()
            .map(|source| source.fingerprint())
            .unwrap_or_default()
    }

    fn holder(&self) -> String {
        self.last()
            .map(|source| source.holder())
            .unwrap_or_default()
    }

    fn local_fingerprint(&self) -> u64 {
        match self.credentials() {
            CredentialsOfKey::Own(number) | CredentialsOfKey::Fingerprint(number) => number,
        }
    }

    fn request_fingerprint(&self) -> u64 {
        let last = self.last().map(|source| source.request_fingerprint());
        last.filter(|it| *it != 0)
            .unwrap_or_else(|| TokenSource::local_fingerprint(self))
    }

    fn endpoint(&self) -> u64 {
        self.last()
            .map(|source| source.endpoint())
            .unwrap_or_default()
    }

    fn user(&self) -> u64 {
        self.last().map(|source| source.user()).unwrap_or_default()
    }

    fn is_prepared(&self) -> bool {
        self.get().is_some_and(|source| source.is_prepared())
    }

    async fn prepare(&self) -> Result<(), TokenError> {
        let source = self.get_or_make().await?;
        source.prepare().await?;
        // The prepared credentials may be other ones.
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
        self.last().is_none_or(|source| source.may_lock())
    }

    fn token_changed(&self, cache_id: u64) {
        if let Some(accounts) = self.accounts.upgrade() {
            accounts.lru.end_hot(accounts.lru.hash(&self.key), cache_id);
        }
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
