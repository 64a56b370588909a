//! The grant of a refresh token that the user brings.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::{BoxError, ConfigError, TokenError, TokenErrorKind};
use crate::grant::client::Client;
use crate::grant::endpoint::Endpoint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::{GrantConfig, GrantType};
use crate::grant::params::Form;
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{DefaultTransport, Transport};

/// A refresh token that the user brings (RFC 6749, section 6): from an earlier
/// login in a browser, from a device flow, from a file.
///
/// The grant holds the token, and the next one when the server rotates it.
/// [`on_rotation`](Self::on_rotation) stores it. When the server refuses it,
/// there is nothing to fall back on, and the refusal sticks.
///
/// ```
/// # fn grant(stored: String) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::RefreshToken;
/// use tower_bearer::grant::RefreshTokenGrant;
///
/// let token = RefreshToken::new(stored)?;
/// let grant = RefreshTokenGrant::new("https://auth.example.com/token", "my-app", token)?
///     .on_rotation(|token| async move {
///         // A new file under the old name, so that a crash leaves one of both.
///         tokio::fs::write("token.new", token.secret()).await?;
///         tokio::fs::rename("token.new", "token").await
///     });
/// # let _ = grant; Ok(()) }
/// # grant("t".into()).unwrap();
/// ```
pub type RefreshTokenGrant<T = DefaultTransport> = Grant<Refresh, T>;

type Stored = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
type Store = Box<dyn Fn(RefreshToken) -> Stored + Send + Sync>;

/// How many tokens that were replaced are remembered.
const REMEMBERED: usize = 64;

/// The kind of [`RefreshTokenGrant`].
pub struct Refresh {
    /// The token that the user brought, as a hash.
    brought: u64,
    /// Locked for a whole request: a refresh token that rotates may be sent
    /// only once.
    held: Mutex<Held>,
    store: Option<Store>,
}

struct Held {
    token: RefreshToken,
    /// Before it was asked for.
    requested_at: Instant,
    /// The tokens that this one replaced, as hashes, the last one first.
    replaced: VecDeque<u64>,
    /// The access token that came with it, if it is not stored yet.
    waiting: Option<AccessToken>,
    /// Why the token was refused, until somebody was told.
    refused: Option<TokenError>,
}

impl Grant<Refresh> {
    /// A grant at this token endpoint that begins with this token.
    ///
    /// # Errors
    ///
    /// Those of [`Endpoint::new`].
    pub fn new(
        endpoint: impl TryInto<Endpoint, Error: Into<ConfigError>>,
        client_id: impl Into<String>,
        token: RefreshToken,
    ) -> Result<Self, ConfigError> {
        let brought = hash(&token);
        let held = Held {
            token,
            requested_at: Instant::now(),
            replaced: VecDeque::new(),
            waiting: None,
            refused: None,
        };
        let kind = Refresh {
            brought,
            held: Mutex::new(held),
            store: None,
        };
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        Ok(Self::of(kind, endpoint, Client::new(client_id)))
    }
}

impl<T> Grant<Refresh, T> {
    /// Sets what is awaited when the server has rotated the refresh token,
    /// before the access token that came with it is used.
    ///
    /// When it fails, that is an error of the kind
    /// [`Source`](TokenErrorKind::Source), which is transient, and a token in
    /// use stays so. Both new tokens are kept: the next call stores the refresh
    /// token first, and if that succeeds uses the access token with no request
    /// to the server. The old refresh token is never sent again. The same holds
    /// when it panics, or does not finish within the cache's
    /// [`source_timeout`](crate::TokenCacheBuilder::source_timeout); so it may
    /// be called with the same token twice.
    #[must_use]
    pub fn on_rotation<F, Fut, E>(mut self, store: F) -> Self
    where
        F: Fn(RefreshToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.kind.store = Some(Box::new(move |token| {
            let stored = store(token);
            Box::pin(async move { stored.await.map_err(Into::into) })
        }));
        self
    }
}

impl Refresh {
    /// A token by the refresh token that is held.
    async fn renew<T: Transport>(
        &self,
        held: &mut Held,
        config: &GrantConfig<T>,
    ) -> Result<TokenResponse, TokenError> {
        if let Some(token) = self.settle(held).await? {
            return Ok(held.answer(token));
        }
        let requested_at = Instant::now();
        let sent = held.token.clone();
        let form = config.form()?.secret("refresh_token", sent.secret());
        let (token, new) = config.send(self, form).await?.into_parts();
        // Before it is stored, for whatever becomes of that.
        if new.is_some_and(|new| held.replace(new, requested_at)) {
            held.waiting = Some(token.clone());
            self.settle(held).await?;
        }
        Ok(held.answer(token))
    }

    /// Stores what is held, if something is to be stored, and yields the access
    /// token that waited for it, if it has life left.
    async fn settle(&self, held: &mut Held) -> Result<Option<AccessToken>, TokenError> {
        if held.waiting.is_none() {
            return Ok(None);
        }
        if let Some(store) = &self.store {
            store(held.token.clone()).await.map_err(|error| {
                let what = "the new refresh token could not be stored";
                TokenError::new(TokenErrorKind::Source, what).with_source(error)
            })?;
        }
        Ok(held.waiting.take().and_then(|token| {
            let left = token.lifetime().map(|life| held.left(life));
            match left {
                None => Some(token),
                Some(left) => (!left.is_zero()).then(|| token.with_lifetime(left)),
            }
        }))
    }
}

impl Held {
    /// Holds this token from now on; false if it is the same one.
    fn replace(&mut self, new: RefreshToken, requested_at: Instant) -> bool {
        let old = hash(&self.token);
        let is_new = hash(&new) != old;
        if is_new {
            self.replaced.push_front(old);
            self.replaced.truncate(REMEMBERED);
        }
        (self.token, self.requested_at) = (new, requested_at);
        is_new
    }

    /// Whether this is the token that is held, or was once.
    fn knows(&self, token: &RefreshToken) -> bool {
        let token = hash(token);
        token == hash(&self.token) || self.replaced.contains(&token)
    }

    /// What is left of a life that began with the token's.
    fn left(&self, life: Duration) -> Duration {
        life.saturating_sub(self.requested_at.elapsed())
    }

    fn answer(&self, token: AccessToken) -> TokenResponse {
        let refresh = self.token.clone();
        let refresh = match refresh.lifetime() {
            Some(life) => refresh.with_lifetime(self.left(life)),
            None => refresh,
        };
        TokenResponse::new(token).with_refresh_token(Some(refresh))
    }
}

fn hash(token: &RefreshToken) -> u64 {
    let mut hasher = DefaultHasher::new();
    token.secret().hash(&mut hasher);
    hasher.finish()
}

impl GrantType for Refresh {
    const NAME: &'static str = "RefreshTokenGrant";

    fn grant_type(&self) -> &str {
        "refresh_token"
    }

    fn hash_credentials(&self, hasher: &mut DefaultHasher) {
        self.brought.hash(hasher);
    }

    /// The token is added where it is locked.
    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        Ok(form)
    }

    async fn fetch<T: Transport>(
        &self,
        config: &GrantConfig<T>,
    ) -> Result<TokenResponse, TokenError> {
        let mut held = self.held.lock().await;
        // A cache asks so right after a refusal, and there is nothing else.
        match held.refused.take() {
            Some(refused) => Err(refused),
            None => self.renew(&mut held, config).await,
        }
    }

    async fn refresh<T: Transport>(
        &self,
        config: &GrantConfig<T>,
        token: &RefreshToken,
    ) -> Result<TokenResponse, TokenError> {
        let mut held = self.held.lock().await;
        // The cache may not know yet of the last one that came. One that this
        // grant never had is another process's, and newer.
        if !held.knows(token) {
            held.replace(token.clone(), Instant::now());
        }
        let answer = self.renew(&mut held, config).await;
        let refused = answer.as_ref().err();
        held.refused = refused
            .filter(|e| e.kind() == TokenErrorKind::Refused)
            .cloned();
        answer
    }

    async fn revoke<T: Transport>(
        &self,
        config: &GrantConfig<T>,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        let held = self.held.lock().await;
        let token = refresh_token.filter(|token| !held.knows(token));
        let token = token.unwrap_or(&held.token);
        config.endpoint.revoke(access_token, Some(token)).await
    }
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").finish_non_exhaustive()
    }
}
