//! The cache as its user sees it.

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

/// What a cache is called that nobody named.
static DEFAULT_LABEL: LazyLock<Arc<str>> = LazyLock::new(|| "default".into());

/// The tokens of one account: fetched once for any number of callers, renewed
/// before they expire.
///
/// Cheap to clone; clones are the same cache. Building one needs no runtime, so
/// it can stand in a `static`. Each fetch runs as a task of its own in the tokio
/// runtime (with its time driver enabled) of the caller who set it off, and
/// several runtimes may share a cache. If that runtime ends, the next caller who
/// waits fetches anew; if it lives on but nobody drives it, the fetch is given up
/// after twice the [source's time](crate::TokenCacheBuilder::source_timeout).
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
    /// A cache with the default settings.
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

    /// A token that may be sent now. At once if there is one; otherwise the
    /// caller waits for the one fetch under way.
    ///
    /// # Errors
    ///
    /// Why there is none; also when the caller's [wait timeout](crate::TokenCacheBuilder::wait_timeout)
    /// is over, and outside a tokio runtime.
    pub async fn token(&self) -> Result<AccessToken, TokenError> {
        if let Some(live) = self.shared.current.try_fast() {
            return Ok(live.token.clone());
        }
        self.acquire(Requirements::default()).await
    }

    /// A token that may be sent for at least this long: for calls that take
    /// long. Fetches one if the one in use has less left.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token), and
    /// [`Config`](crate::TokenErrorKind::Config) if new tokens do not live so
    /// long either.
    pub async fn token_valid_for(&self, span: Duration) -> Result<AccessToken, TokenError> {
        self.acquire(Requirements {
            valid_for: span,
            ..Requirements::default()
        })
        .await
    }

    async fn acquire(&self, needs: Requirements) -> Result<AccessToken, TokenError> {
        let live = WaitForToken::new(self.shared.clone(), needs).await?;
        Ok(live.token.clone())
    }

    /// Gives up the token in use: the next caller sets off a fetch. For a
    /// rejection that was seen elsewhere than by the layer.
    pub fn invalidate(&self) {
        self.shared.with_state(|state, _| state.invalidate());
    }

    /// Reports that an API rejected this token, where something other than the
    /// layer saw it: a websocket, a response's body. A newer one is fetched in
    /// the background; until it is there others go on with this one. As for the
    /// layer, renewals are backed off where fresh tokens are rejected too, and a
    /// token that was replaced already costs nothing.
    ///
    /// Waiting for the newer token is [`token`](Self::token), once this was
    /// called and the fetch is through.
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

    /// Forgets failures: the next caller who needs a token sets off a fetch,
    /// also after the credentials were refused. For when somebody has put right
    /// what was wrong.
    pub fn reset(&self) {
        self.shared.with_state(|state, _| state.reset());
        CredentialMemory::forget(self.shared.credentials());
        self.shared.changes.notify();
    }

    /// Gives up the tokens and ends their session at the server: the next
    /// caller logs in anew. Waits for a fetch under way, whose tokens are given
    /// up as well. Goes on when the caller leaves; takes no longer than the
    /// [revoke timeout](crate::TokenCacheBuilder::revoke_timeout).
    ///
    /// Dropping the last handle ends no session: that takes a request.
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
    /// If the session could not be ended, for one because the source knows no
    /// way: grants needs a `logout_endpoint` or a `revocation_endpoint`. The
    /// cache has let go of the tokens all the same, unless the time was over
    /// before a fetch was.
    pub async fn revoke(&self) -> Result<(), TokenError> {
        session::revoke(&self.shared, Scope::Fleet).await
    }

    /// As [`revoke`](Self::revoke), but a session that a fleet shares stays.
    #[cfg(feature = "accounts")]
    pub(crate) async fn end_own_session(&self) -> Result<(), TokenError> {
        session::revoke(&self.shared, Scope::Process).await
    }

    /// Hands out no more tokens, and ends the session as
    /// [`revoke`](Self::revoke) does: for the end of a program, after its last
    /// request. Whoever asks for a token afterwards gets an error of the kind
    /// [`ShutDown`](crate::TokenErrorKind::ShutDown). A session that a
    /// [fleet](crate::store) shares stays, for the others go on.
    ///
    /// No token request leaves any more. One in progress is waited for, and if it
    /// takes longer than the [revoke timeout](crate::TokenCacheBuilder::revoke_timeout),
    /// its session is ended when it lands. A session that could not be ended is
    /// kept for another call.
    ///
    /// # Errors
    ///
    /// As for `revoke`, except that a source which has no way to end a session is
    /// no failure. The cache is shut down all the same.
    pub async fn shutdown(&self) -> Result<(), TokenError> {
        self.close();
        match session::shut_down(&self.shared).await {
            Err(error) if error.is_unsupported() => Ok(()),
            ended => ended,
        }
    }

    /// Hands out no more tokens.
    pub(crate) fn close(&self) {
        self.shared.with_state(|state, _| state.close());
        self.shared.changes.notify();
    }

    /// Whether there is another handle, a fetch or a waiter.
    #[cfg(feature = "accounts")]
    pub(crate) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    /// Whether there is a token, valid or not.
    #[cfg(feature = "accounts")]
    pub(crate) fn has_token(&self) -> bool {
        self.shared.with_state(|state, _| state.live.is_some())
    }

    /// Renews from now on also while nobody asks for a token, except after the
    /// credentials were refused. The task behind this keeps no cache alive: it
    /// ends with the last handle. If its runtime ends, the next fetch starts it
    /// again in its own.
    pub fn keep_warm(&self) {
        self.shared.keeps_warm.store(true, Ordering::Relaxed);
        background::ensure_keep_warm(&self.shared);
    }

    /// Fetches a token if there is none: for the start of a program, so that
    /// wrong credentials show before the first request does.
    ///
    /// # Errors
    ///
    /// As for [`token`](Self::token).
    pub async fn warm_up(&self) -> Result<(), TokenError> {
        self.token().await.map(drop)
    }

    /// Whether a token can be sent at once: for a readiness probe. Asks nobody
    /// and waits for nothing, but sets off a fetch if there is no token, so that
    /// a probe alone makes a program ready.
    ///
    /// # Errors
    ///
    /// Why not; [`WaitTimeout`](crate::TokenErrorKind::WaitTimeout) while a fetch is under
    /// way.
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
