//! A token source that is made by its first fetch.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::source::{DynTokenSource, TokenSource};
use crate::sync::lock;
use crate::token::{AccessToken, RefreshToken, TokenResponse};

type SourceFuture =
    Pin<Box<dyn Future<Output = Result<Arc<dyn DynTokenSource>, TokenError>> + Send>>;

/// Makes the token source of a key.
pub(crate) type MakeSource<K> = dyn Fn(K) -> SourceFuture + Send + Sync;

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
    make_source: Arc<MakeSource<K>>,
    source: Mutex<Option<Arc<dyn DynTokenSource>>>,
}

impl<K> LazySource<K> {
    pub(crate) fn new(key: K, make_source: Arc<MakeSource<K>>) -> Self {
        Self {
            key,
            make_source,
            source: Mutex::new(None),
        }
    }

    /// Returns the source, if it was made.
    fn get(&self) -> Option<Arc<dyn DynTokenSource>> {
        lock(&self.source).clone()
    }
}

impl<K: Clone> LazySource<K> {
    async fn get_or_make(&self) -> Result<Arc<dyn DynTokenSource>, TokenError> {
        if let Some(source) = self.get() {
            return Ok(source);
        }
        let source = (self.make_source)(self.key.clone()).await?;
        *lock(&self.source) = Some(source.clone());
        Ok(source)
    }
}

impl<K: Clone + Send + Sync + 'static> TokenSource for LazySource<K> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        let fetched = self.get_or_make().await?.fetch().await;
        if matches!(&fetched, Err(error) if error.kind() == TokenErrorKind::Refused) {
            // The closure may return other credentials next time.
            *lock(&self.source) = None;
        }
        fetched
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.get_or_make().await?.refresh(refresh_token).await
    }

    fn fingerprint(&self) -> u64 {
        self.get().map_or(0, |source| source.fingerprint())
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
