//! Where tokens come from.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::{BoxError, TokenError};
use crate::token::{AccessToken, RefreshToken, TokenResponse};

/// Anything that yields a token.
///
/// The grants in [`grant`](crate::grant) are sources; so are an [`AccessToken`]
/// (a fixed token) and any closure that returns a future of one:
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{AccessToken, TokenCache};
///
/// let tokens = TokenCache::new(|| async {
///     let text = std::env::var("TOKEN")?;
///     let token = AccessToken::new(text)?.with_lifetime(Duration::from_secs(300));
///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(token)
/// });
/// # let _ = tokens;
/// ```
///
/// A source decides nothing about time: when to call it, how often after a
/// failure and for whom is the [`TokenCache`](crate::TokenCache)'s work. It is
/// never called twice at the same time by one cache.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of tokens",
    label = "not a `TokenSource`",
    note = "a grant, an `AccessToken`, or a closure like `|| async {{ Ok::<_, TokenError>(AccessToken::new(\"…\")?) }}` is one",
    note = "a grant is one if it can reach its endpoint: enable tower-bearer's feature `reqwest`, or give it a transport with `.transport(service)`"
)]
pub trait TokenSource: Send + Sync + 'static {
    /// Asks for a token with the source's own credentials.
    ///
    /// # Errors
    ///
    /// The [kind](crate::TokenErrorKind) of the error decides what happens
    /// next: `Refused` sticks, everything else is tried again with a growing
    /// pause.
    fn fetch(&self) -> impl Future<Output = Result<TokenResponse, TokenError>> + Send;

    /// Asks for a token with a refresh token that this source yielded earlier
    /// (RFC 6749, section 6). When that is refused the cache calls
    /// [`fetch`](Self::fetch) at once.
    ///
    /// # Errors
    ///
    /// As for `fetch`.
    fn refresh(
        &self,
        refresh_token: &RefreshToken,
    ) -> impl Future<Output = Result<TokenResponse, TokenError>> + Send {
        let _ = refresh_token;
        self.fetch()
    }

    /// A number that is another one for other credentials, so that a refusal
    /// that a [fleet](crate::store) shares does not stick to new ones. Zero if
    /// not written.
    fn fingerprint(&self) -> u64 {
        0
    }

    /// Makes the source ready for [`fetch`](Self::fetch), as far as its credentials
    /// are known only then.
    #[doc(hidden)]
    fn prepare(&self) -> impl Future<Output = Result<(), TokenError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Whether a person's account may be locked when the credentials are refused
    /// too often.
    #[doc(hidden)]
    fn may_lock(&self) -> bool {
        true
    }

    /// Ends at the server what these tokens stand for: called by
    /// [`TokenCache::revoke`](crate::TokenCache::revoke) with what the cache
    /// has, perhaps while `fetch` runs. Does nothing if not written.
    ///
    /// # Errors
    ///
    /// If the server could not be asked, or would not. Nobody tries again.
    fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> impl Future<Output = Result<(), TokenError>> + Send {
        let _ = (access_token, refresh_token);
        std::future::ready(Ok(()))
    }
}

impl<F, Fut, T, E> TokenSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send,
    T: Into<TokenResponse>,
    E: Into<BoxError>,
{
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        match self().await {
            Ok(token) => Ok(token.into()),
            Err(error) => Err(TokenError::from_source(error)),
        }
    }
}

impl TokenSource for AccessToken {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        Ok(self.clone().into())
    }
}

impl<S: TokenSource> TokenSource for Arc<S> {
    fn fetch(&self) -> impl Future<Output = Result<TokenResponse, TokenError>> + Send {
        (**self).fetch()
    }

    fn refresh(
        &self,
        refresh_token: &RefreshToken,
    ) -> impl Future<Output = Result<TokenResponse, TokenError>> + Send {
        (**self).refresh(refresh_token)
    }

    fn fingerprint(&self) -> u64 {
        (**self).fingerprint()
    }

    fn prepare(&self) -> impl Future<Output = Result<(), TokenError>> + Send {
        (**self).prepare()
    }

    fn may_lock(&self) -> bool {
        (**self).may_lock()
    }

    fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> impl Future<Output = Result<(), TokenError>> + Send {
        (**self).revoke(access_token, refresh_token)
    }
}

type BoxFuture<'a, T = TokenResponse> =
    Pin<Box<dyn Future<Output = Result<T, TokenError>> + Send + 'a>>;

/// [`TokenSource`] as a trait object, so that a cache has no type parameter.
pub(crate) trait DynTokenSource: Send + Sync + 'static {
    fn fetch(&self) -> BoxFuture<'_>;
    fn refresh<'a>(&'a self, refresh_token: &'a RefreshToken) -> BoxFuture<'a>;
    fn revoke<'a>(
        &'a self,
        access_token: Option<&'a AccessToken>,
        refresh_token: Option<&'a RefreshToken>,
    ) -> BoxFuture<'a, ()>;
    fn fingerprint(&self) -> u64;
    fn prepare(&self) -> BoxFuture<'_, ()>;
    fn may_lock(&self) -> bool;
}

impl<S: TokenSource> DynTokenSource for S {
    fn fetch(&self) -> BoxFuture<'_> {
        Box::pin(TokenSource::fetch(self))
    }

    fn refresh<'a>(&'a self, refresh_token: &'a RefreshToken) -> BoxFuture<'a> {
        Box::pin(TokenSource::refresh(self, refresh_token))
    }

    fn revoke<'a>(
        &'a self,
        access_token: Option<&'a AccessToken>,
        refresh_token: Option<&'a RefreshToken>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(TokenSource::revoke(self, access_token, refresh_token))
    }

    fn fingerprint(&self) -> u64 {
        TokenSource::fingerprint(self)
    }

    fn prepare(&self) -> BoxFuture<'_, ()> {
        Box::pin(TokenSource::prepare(self))
    }

    fn may_lock(&self) -> bool {
        TokenSource::may_lock(self)
    }
}
