//! A source that is made when it is first asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::source::{DynTokenSource, TokenSource};
use crate::token::{AccessToken, RefreshToken, TokenResponse};

type Making = Pin<Box<dyn Future<Output = Result<Arc<dyn DynTokenSource>, TokenError>> + Send>>;

/// Makes the source of a key.
pub(crate) type MakeSource<K> = dyn Fn(K) -> Making + Send + Sync;

/// A user's closure, whatever it makes.
pub(crate) fn make<K, Fut, S, E>(
    make: impl Fn(K) -> Fut + Send + Sync + 'static,
) -> impl Fn(K) -> Making + Send + Sync
where
    Fut: Future<Output = Result<S, E>> + Send + 'static,
    S: TokenSource,
    E: Into<BoxError> + 'static,
{
    move |key| {
        let made = make(key);
        Box::pin(async move {
            match made.await {
                Ok(source) => Ok(Arc::new(source) as _),
                Err(error) => Err(TokenError::from_source(error)),
            }
        })
    }
}

/// The source of one key. Making it is part of its first fetch, so that all a
/// cache does about a fetch is done about that: one at a time, bounded in time,
/// and held back after a failure.
pub(crate) struct LazySource<K> {
    key: K,
    make: Arc<MakeSource<K>>,
    made: Mutex<Option<Arc<dyn DynTokenSource>>>,
}

impl<K> LazySource<K> {
    pub(crate) fn new(key: K, make: Arc<MakeSource<K>>) -> Self {
        Self {
            key,
            make,
            made: Mutex::new(None),
        }
    }

    fn made(&self) -> Option<Arc<dyn DynTokenSource>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<dyn DynTokenSource>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone> LazySource<K> {
    async fn source(&self) -> Result<Arc<dyn DynTokenSource>, TokenError> {
        if let Some(source) = self.made() {
            return Ok(source);
        }
        let source = (self.make)(self.key.clone()).await?;
        *self.lock() = Some(source.clone());
        Ok(source)
    }
}

impl<K: Clone + Send + Sync + 'static> TokenSource for LazySource<K> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        let fetched = self.source().await?.fetch().await;
        if matches!(&fetched, Err(error) if error.kind() == TokenErrorKind::Refused) {
            // Where it came from, there may be other credentials next time.
            *self.lock() = None;
        }
        fetched
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.source().await?.refresh(refresh_token).await
    }

    fn fingerprint(&self) -> u64 {
        self.made().map_or(0, |source| source.fingerprint())
    }

    async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        let source = self.source().await?;
        source.revoke(access_token, refresh_token).await
    }
}
