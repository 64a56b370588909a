//! Where tokens come from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::{BoxError, TokenError};
use crate::token::{AccessToken, RefreshToken, TokenResponse};

/// Source of access tokens.
///
/// The grants in [`grant`](crate::grant) are sources. So are an [`AccessToken`],
/// which is always the same, and any closure that returns a future of a token:
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
/// A source need not care about time: the [`TokenCache`](crate::TokenCache) decides
/// when to call it, and when to retry after a failure. One cache never calls it
/// twice at the same time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of tokens",
    label = "not a `TokenSource`",
    note = "a grant, an `AccessToken`, or a closure like `|| async {{ Ok::<_, TokenError>(AccessToken::new(\"…\")?) }}` is one",
    note = "a grant is one if it can reach its endpoint: enable tower-bearer's feature `reqwest`, or give it a transport with `.transport(service)`"
)]
pub trait TokenSource: Send + Sync + 'static {
    /// Requests a token with the source's own credentials.
    ///
    /// # Errors
    ///
    /// Fails if no token can be had. The [kind](crate::TokenErrorKind) of the error
    /// decides what the cache does next: it repeats a `Refused` error from memory
    /// for a long time; after any other it calls the source again soon, with growing
    /// pauses. So it does after any error that another cache returned, which remembers
    /// its own refusals.
    fn fetch(&self) -> impl Future<Output = Result<TokenResponse, TokenError>> + Send;

    /// Requests a token with a refresh token that this source returned earlier
    /// (RFC 6749, section 6). If it is refused, the cache calls
    /// [`fetch`](Self::fetch) at once. The default calls `fetch`.
    ///
    /// # Errors
    ///
    /// Fails as `fetch` does.
    fn refresh(
        &self,
        refresh_token: &RefreshToken,
    ) -> impl Future<Output = Result<TokenResponse, TokenError>> + Send {
        let _ = refresh_token;
        self.fetch()
    }

    /// Returns a fingerprint of the credentials, so that a refusal that processes
    /// share in a [store](crate::store) does not apply to new credentials. The
    /// default returns 0.
    #[doc(hidden)]
    fn fingerprint(&self) -> u64 {
        0
    }

    /// Returns the holder of the tokens as text: endpoint, client, user, and what else
    /// a grant requests that is not secret. A [store](crate::store) shares tokens only
    /// between caches with the same text. The default returns an empty text: unknown.
    #[doc(hidden)]
    fn holder(&self) -> String {
        String::new()
    }

    /// Returns a fingerprint that distinguishes these credentials from others in
    /// this process only. The default is the [`fingerprint`](Self::fingerprint).
    #[doc(hidden)]
    fn local_fingerprint(&self) -> u64 {
        self.fingerprint()
    }

    /// Returns the same for the credentials together with what they are sent for: the
    /// scope, the audience. A refusal of these says nothing of the credentials. The
    /// default is the [`local_fingerprint`](Self::local_fingerprint).
    #[doc(hidden)]
    fn request_fingerprint(&self) -> u64 {
        self.local_fingerprint()
    }

    /// Returns a number that is the same for sources with the same token endpoint,
    /// so that a source that hangs does no harm to others. The default returns 0:
    /// unknown.
    #[doc(hidden)]
    fn endpoint(&self) -> u64 {
        0
    }

    /// Returns a number that is the same for sources that log in the same person at
    /// the same token endpoint, whatever the password. The default returns 0:
    /// unknown.
    #[doc(hidden)]
    fn user(&self) -> u64 {
        0
    }

    /// Returns whether [`prepare`](Self::prepare) has nothing to do.
    #[doc(hidden)]
    fn is_prepared(&self) -> bool {
        true
    }

    /// Prepares the source for [`fetch`](Self::fetch), for example by reading its
    /// credentials from files.
    #[doc(hidden)]
    fn prepare(&self) -> impl Future<Output = Result<(), TokenError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Reads the credential files again while what they held is refused. Makes no
    /// request.
    #[doc(hidden)]
    fn reread(&self) -> impl Future<Output = Result<(), TokenError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Returns a number for what the credential files held when they were last read,
    /// where the fingerprint does not tell. The default returns `None`: no
    /// credentials are in files.
    #[doc(hidden)]
    fn contents(&self) -> Option<u64> {
        None
    }

    /// Returns whether a person's account may be locked if the credentials are
    /// refused too often.
    #[doc(hidden)]
    fn may_lock(&self) -> bool {
        true
    }

    /// Notifies the source that the token of the cache with this id has changed, so
    /// that the accounts of this source stop using their copies of it. The default
    /// does nothing.
    #[doc(hidden)]
    fn token_changed(&self, cache_id: u64) {
        let _ = cache_id;
    }

    /// Ends the session of these tokens at the server.
    /// [`TokenCache::revoke`](crate::TokenCache::revoke) calls it with the tokens of
    /// the cache, possibly while `fetch` runs. The default does nothing.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot be reached, or refuses. Only another
    /// [`TokenCache::shutdown`](crate::TokenCache::shutdown) calls it again.
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
        self.aged().map(TokenResponse::from)
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

    fn holder(&self) -> String {
        (**self).holder()
    }

    fn local_fingerprint(&self) -> u64 {
        (**self).local_fingerprint()
    }

    fn request_fingerprint(&self) -> u64 {
        (**self).request_fingerprint()
    }

    fn endpoint(&self) -> u64 {
        (**self).endpoint()
    }

    fn user(&self) -> u64 {
        (**self).user()
    }

    fn is_prepared(&self) -> bool {
        (**self).is_prepared()
    }

    fn prepare(&self) -> impl Future<Output = Result<(), TokenError>> + Send {
        (**self).prepare()
    }

    fn reread(&self) -> impl Future<Output = Result<(), TokenError>> + Send {
        (**self).reread()
    }

    fn contents(&self) -> Option<u64> {
        (**self).contents()
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
    fn holder(&self) -> String;
    fn local_fingerprint(&self) -> u64;
    fn request_fingerprint(&self) -> u64;
    fn endpoint(&self) -> u64;
    fn user(&self) -> u64;
    fn is_prepared(&self) -> bool;
    fn prepare(&self) -> BoxFuture<'_, ()>;
    fn reread(&self) -> BoxFuture<'_, ()>;
    fn contents(&self) -> Option<u64>;
    fn may_lock(&self) -> bool;
    #[cfg(feature = "accounts")]
    fn token_changed(&self, cache_id: u64);
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

    fn holder(&self) -> String {
        TokenSource::holder(self)
    }

    fn local_fingerprint(&self) -> u64 {
        TokenSource::local_fingerprint(self)
    }

    fn request_fingerprint(&self) -> u64 {
        TokenSource::request_fingerprint(self)
    }

    fn endpoint(&self) -> u64 {
        TokenSource::endpoint(self)
    }

    fn user(&self) -> u64 {
        TokenSource::user(self)
    }

    fn is_prepared(&self) -> bool {
        TokenSource::is_prepared(self)
    }

    fn prepare(&self) -> BoxFuture<'_, ()> {
        Box::pin(TokenSource::prepare(self))
    }

    fn reread(&self) -> BoxFuture<'_, ()> {
        Box::pin(TokenSource::reread(self))
    }

    fn contents(&self) -> Option<u64> {
        TokenSource::contents(self)
    }

    fn may_lock(&self) -> bool {
        TokenSource::may_lock(self)
    }

    #[cfg(feature = "accounts")]
    fn token_changed(&self, cache_id: u64) {
        TokenSource::token_changed(self, cache_id);
    }
}

/// Boxed [`TokenSource`], so that sources of different types have one type: accounts
/// with different grants, or a choice at run time.
///
/// ```
/// use tower_bearer::grant::ClientCredentialsGrant;
/// use tower_bearer::{BoxTokenSource, ConfigError, PasswordGrant};
///
/// fn source(kind: &str) -> Result<BoxTokenSource, ConfigError> {
///     Ok(match kind {
///         "person" => BoxTokenSource::new(PasswordGrant::voipex("your@email.com", "password")),
///         _ => BoxTokenSource::new(
///             ClientCredentialsGrant::new("https://id.example.com/token", "billing")?
///                 .client_secret("secret"),
///         ),
///     })
/// }
/// # #[cfg(feature = "reqwest")]
/// # source("person").unwrap();
/// ```
pub struct BoxTokenSource(Box<dyn DynTokenSource>);

impl BoxTokenSource {
    /// Boxes a source.
    pub fn new(source: impl TokenSource) -> Self {
        Self(Box::new(source))
    }
}

impl TokenSource for BoxTokenSource {
    fn fetch(&self) -> impl Future<Output = Result<TokenResponse, TokenError>> + Send {
        self.0.fetch()
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.0.refresh(refresh_token).await
    }

    fn fingerprint(&self) -> u64 {
        self.0.fingerprint()
    }

    fn holder(&self) -> String {
        self.0.holder()
    }

    fn local_fingerprint(&self) -> u64 {
        self.0.local_fingerprint()
    }

    fn request_fingerprint(&self) -> u64 {
        self.0.request_fingerprint()
    }

    fn endpoint(&self) -> u64 {
        self.0.endpoint()
    }

    fn user(&self) -> u64 {
        self.0.user()
    }

    fn is_prepared(&self) -> bool {
        self.0.is_prepared()
    }

    fn prepare(&self) -> impl Future<Output = Result<(), TokenError>> + Send {
        self.0.prepare()
    }

    fn reread(&self) -> impl Future<Output = Result<(), TokenError>> + Send {
        self.0.reread()
    }

    fn contents(&self) -> Option<u64> {
        self.0.contents()
    }

    fn may_lock(&self) -> bool {
        self.0.may_lock()
    }

    async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        self.0.revoke(access_token, refresh_token).await
    }
}

impl fmt::Debug for BoxTokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxTokenSource").finish_non_exhaustive()
    }
}
