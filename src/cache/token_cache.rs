//! The cache as its users see it.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::cache::credentials::CredentialMemory;
use crate::cache::fetch::Next;
use crate::cache::session::Scope;
use crate::cache::settings::FleetMember;
use crate::cache::settings::SharedSettings;
use crate::cache::shared::Shared;
use crate::cache::state::{Rejection, Requirements};
use crate::cache::wait::WaitForToken;
use crate::cache::{background, session};
use crate::error::{TokenError, TokenErrorKind};
use crate::origins::OriginId;
use crate::source::{DynTokenSource, TokenSource};
use crate::token::AccessToken;

/// The label of a cache that was given none.
static DEFAULT_LABEL: LazyLock<Arc<str>> = LazyLock::new(|| "default".into());

/// Tokens of one account, fetched once for any number of callers and renewed before
/// they expire.
///
/// Cheap to clone; clones are the same cache. Building one needs no runtime, so it
/// can be a `static`. Each fetch runs in a task on the tokio runtime (with its time
/// driver enabled) of the caller that started it, and several runtimes may share a
/// cache. If that runtime ends, the next waiting caller starts another fetch; if it
/// is alive but not driven, the fetch is abandoned after twice the [source
/// timeout](crate::TokenCacheBuilder::source_timeout).
///
/// ```
/// use std::sync::LazyLock;
/// use tower_bearer::{AccessToken, TokenCache, TokenError};
///
/// static TOKENS: LazyLock<TokenCache> = LazyLock::new(|| {
///     TokenCache::new(|| async { AccessToken::new("from-somewhere") })
/// });
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), TokenError> {
/// let token = TOKENS.token().await?;
/// assert_eq!(token.secret(), "from-somewhere");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenCache {
    pub(crate) shared: Arc<Shared>,
}

impl TokenCache {
    /// Creates a cache with the default settings.
    pub fn new(source: impl TokenSource) -> Self {
        Self::assemble(Box::new(source), None, None, SharedSettings::default())
    }

    pub(crate) fn assemble(
        source: Box<dyn DynTokenSource>,
        fleet: Option<FleetMember>,
        label: Option<Arc<str>>,
        settings: SharedSettings,
    ) -> Self {
        let label = label.unwrap_or_else(|| DEFAULT_LABEL.clone());
        Self {
            shared: Arc::new(Shared::new(source, fleet, label, settings)),
        }
    }

    /// Returns a token that may be sent now: at once if there is one, otherwise
    /// after waiting for the one fetch in progress.
    ///
    /// # Errors
    ///
    /// Fails if no token can be had, if the caller's [wait
    /// timeout](crate::TokenCacheBuilder::wait_timeout) is over, and outside a tokio
    /// runtime.
    pub async fn token(&self) -> Result<AccessToken, TokenError> {
        if let Some(live) = self.shared.current.try_fast() {
            return Ok(live.token.clone());
        }
        self.acquire(Requirements::default()).await
    }

    /// Returns a token that may be sent for at least this long, for calls that take
    /// long. Fetches a new one if the token in use has less left.
    ///
    /// # Errors
    ///
    /// Fails as [`token`](Self::token) does, and with
    /// [`Config`](crate::TokenErrorKind::Config) if new tokens do not live that long
    /// either.
    pub async fn token_valid_for(&self, span: Duration) -> Result<AccessToken, TokenError> {
        self.acquire(Requirements {
            valid_for: span,
            ..Requirements::default()
        })
        .await
    }

    async fn acquire(&self, needs: Requirements) -> Result<AccessToken, TokenError> {
        let live = WaitForToken::new(self.shared.clone(), needs).await;
        Ok(live.map_err(TokenError::of_cache)?.token.clone())
    }

    /// Invalidates the token in use: the next caller starts a fetch. To report a
    /// token that an API rejected, use [`reject`](Self::reject), which renews it
    /// once for all and backs off.
    pub fn invalidate(&self) {
        self.shared.with_state(|state, _| state.invalidate());
    }

    /// Reports that an API rejected this token, where something other than the layer
    /// saw it: a websocket, or a response's body. A newer token is fetched in the
    /// background; until it arrives, other callers keep using this one. As in the
    /// layer, renewals are backed off if fresh tokens are rejected too, and
    /// reporting a token that was already replaced costs nothing.
    ///
    /// [`token`](Self::token) returns the newer token once that fetch has finished.
    ///
    /// ```
    /// # use tower_bearer::{AccessToken, TokenCache, TokenError};
    /// # async fn connect(token: &AccessToken) -> bool { true }
    /// # async fn run(tokens: TokenCache) -> Result<(), TokenError> {
    /// let token = tokens.token().await?;
    /// if !connect(&token).await {
    ///     tokens.reject(&token);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn reject(&self, token: &AccessToken) {
        let generation = token.generation();
        let rejection = self.shared.rejected(generation, OriginId::UNKNOWN, false);
        if generation > 0 && rejection == Rejection::Renew {
            self.shared.renew_rejected(generation);
        }
    }

    /// Forgets failures, including a refusal of the credentials: the next caller
    /// that needs a token starts a fetch. Call this once the cause has been fixed.
    pub fn reset(&self) {
        self.shared.with_state(|state, _| state.reset());
        CredentialMemory::forget(self.shared.credentials());
        self.shared.changes.notify();
    }

    /// Drops the tokens and ends their session at the server: the next caller logs
    /// in again. Waits for a fetch in progress, whose tokens are dropped too.
    /// Continues if the caller leaves; takes at most the [revoke
    /// timeout](crate::TokenCacheBuilder::revoke_timeout).
    ///
    /// Dropping the last handle does not end the session, which requires a request.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_bearer::TokenError> {
    /// use tower_bearer::TokenCache;
    /// use tower_bearer::testing::TokenServer;
    ///
    /// let server = TokenServer::builder().in_process();
    /// let tokens = TokenCache::new(server.grant());
    /// tokens.token().await?;
    /// assert_eq!(server.counts().open_sessions, 1);
    /// tokens.revoke().await?;
    /// assert_eq!(server.counts().open_sessions, 0);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "testing"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the session could not be ended, for example because the source does
    /// not support it: a grant needs a `logout_endpoint` or a `revocation_endpoint`.
    /// The tokens have been dropped all the same, unless the timeout passed before a
    /// fetch ended.
    pub async fn revoke(&self) -> Result<(), TokenError> {
        session::revoke(&self.shared, Scope::Fleet).await
    }

    /// Like [`revoke`](Self::revoke), but leaves a session that a fleet shares.
    #[cfg(feature = "accounts")]
    pub(crate) async fn end_own_session(&self) -> Result<(), TokenError> {
        session::revoke(&self.shared, Scope::Process).await
    }

    /// Stops handing out tokens, and ends the session as [`revoke`](Self::revoke)
    /// does. Call it at the end of a program, after its last request: later calls
    /// for a token fail with [`ShutDown`](crate::TokenErrorKind::ShutDown). A
    /// session that a [fleet](crate::store) shares stays, because other processes
    /// use it.
    ///
    /// No further token request is sent. One in progress is waited for; if it takes
    /// longer than the [revoke timeout](crate::TokenCacheBuilder::revoke_timeout),
    /// its session is ended when it completes. A session that could not be ended is
    /// kept for another call.
    ///
    /// # Errors
    ///
    /// Fails as `revoke` does, but not for a source that does not support ending a
    /// session. The cache is shut down all the same.
    pub async fn shutdown(&self) -> Result<(), TokenError> {
        self.close();
        match session::shut_down(&self.shared).await {
            Err(error) if error.is_unsupported() => Ok(()),
            ended => ended,
        }
    }

    /// Stops handing out tokens.
    pub(crate) fn close(&self) {
        self.shared.with_state(|state, _| state.close());
        self.shared.changes.notify();
    }

    /// Returns whether there is another handle, a fetch or a waiter.
    #[cfg(feature = "accounts")]
    pub(crate) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    /// Returns whether there is a token, valid or not.
    #[cfg(feature = "accounts")]
    pub(crate) fn has_token(&self) -> bool {
        self.shared.with_state(|state, _| state.live.is_some())
    }

    /// Renews the token from now on even while no caller needs one, except after the
    /// credentials were refused. The background task does not keep the cache alive:
    /// it ends with the last handle. If its runtime ends, the next fetch restarts it
    /// in its own.
    pub fn keep_warm(&self) {
        self.shared.keeps_warm.store(true, Ordering::Relaxed);
        background::ensure_keep_warm(&self.shared);
    }

    /// Fetches a token if there is none. Call it when a program starts, to notice
    /// wrong credentials before the first request.
    ///
    /// # Errors
    ///
    /// Fails as [`token`](Self::token) does.
    pub async fn warm_up(&self) -> Result<(), TokenError> {
        self.token().await.map(drop)
    }

    /// Returns `Ok` if a token can be sent at once, for a readiness probe. Makes no
    /// request and never waits, but starts a fetch if there is no token, so that a
    /// probe alone makes a program ready.
    ///
    /// # Errors
    ///
    /// Fails with the reason if there is no token;
    /// [`WaitTimeout`](crate::TokenErrorKind::WaitTimeout) while a fetch is in
    /// progress.
    pub fn ready(&self) -> Result<(), TokenError> {
        match self.shared.lookup(Requirements::default()) {
            Next::Serve { .. } => Ok(()),
            Next::Fail(error) => Err(error),
            Next::Wait { .. } => {
                let what = "a token is being fetched";
                Err(TokenError::new(TokenErrorKind::WaitTimeout, what))
            }
        }
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("status", &self.status())
            .finish()
    }
}
