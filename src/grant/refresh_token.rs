//! The refresh token grant, for a token that the user already has.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::{BoxError, ConfigError, TokenError, TokenErrorKind};
use crate::grant::client::Client;
use crate::grant::endpoint::IntoEndpoint;
use crate::grant::fingerprint::Fingerprint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::{GrantConfig, GrantType};
use crate::grant::params::Form;
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{DefaultTransport, Transport};

/// Grant that uses a refresh token from elsewhere (RFC 6749, section 6): an earlier
/// login in a browser, a device flow, a file.
///
/// The grant holds the token, and its successor when the server rotates it;
/// [`on_rotation`](Grant::on_rotation) stores the successor. When the server
/// refuses the token there are no other credentials, so the refusal is final
/// until [`TokenCache::reset`](crate::TokenCache::reset). The other settings are
/// the methods of [`Grant`].
///
/// ```
/// # fn grant(stored: String) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::RefreshToken;
/// use tower_bearer::grant::RefreshTokenGrant;
///
/// let token = RefreshToken::new(stored)?;
/// let grant = RefreshTokenGrant::new("https://auth.example.com/token", "my-app", token)?
///     .on_rotation(|token| async move {
///         // Renamed, so that a crash leaves the old file or the new one.
///         tokio::fs::write("token.new", token.secret()).await?;
///         tokio::fs::rename("token.new", "token").await
///     });
/// # let _ = grant; Ok(()) }
/// # grant("t".into()).unwrap();
/// ```
pub type RefreshTokenGrant<T = DefaultTransport> = Grant<Refresh, T>;

type Stored = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
type Store = Box<dyn Fn(RefreshToken) -> Stored + Send + Sync>;

/// How many replaced tokens are remembered.
const REMEMBERED: usize = 64;

/// Kind of [`RefreshTokenGrant`].
pub struct Refresh {
    /// The hash of the user's token.
    initial: u64,
    /// Locked for a whole request, because a rotating refresh token may be sent only
    /// once.
    held: Mutex<Held>,
    store: Option<Store>,
}

struct Held {
    token: RefreshToken,
    /// When the request for it was sent.
    requested_at: Instant,
    /// The hashes of the tokens that this one replaced, the latest first.
    replaced: VecDeque<u64>,
    /// The response that it came with, until it is stored.
    unstored: Option<TokenResponse>,
    /// Why the token was refused, until a caller gets the error.
    refused: Option<TokenError>,
}

impl Grant<Refresh> {
    /// Creates a refresh token grant at a token endpoint, with this token.
    ///
    /// # Errors
    ///
    /// Fails as [`Endpoint::new`](crate::grant::Endpoint::new) does.
    pub fn new(
        endpoint: impl IntoEndpoint,
        client_id: impl Into<String>,
        token: RefreshToken,
    ) -> Result<Self, ConfigError> {
        let initial = hash(&token);
        let held = Held {
            token,
            requested_at: Instant::now(),
            replaced: VecDeque::new(),
            unstored: None,
            refused: None,
        };
        let kind = Refresh {
            initial,
            held: Mutex::new(held),
            store: None,
        };
        let endpoint = endpoint.into_endpoint()?;
        Ok(Self::of(kind, endpoint, Client::new(client_id)))
    }
}

impl<T> Grant<Refresh, T> {
    /// Sets the function that stores a rotated refresh token. It is awaited before
    /// the access token that came with it is used.
    ///
    /// If it fails, panics, or does not finish within the cache's
    /// [`source_timeout`](crate::TokenCacheBuilder::source_timeout), callers get an
    /// error of the kind [`Source`](TokenErrorKind::Source), which is transient; a
    /// token in use stays in use. Both new tokens are kept: the next fetch stores
    /// the refresh token first (so this may be called twice with the same token) and
    /// then uses the access token without another request. The old refresh token is
    /// never sent again.
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
    /// Requests a token with the held refresh token.
    async fn renew<T: Transport>(
        &self,
        held: &mut Held,
        config: &GrantConfig<T>,
    ) -> Result<TokenResponse, TokenError> {
        if let Some(response) = self.store(held).await? {
            return Ok(held.complete(response));
        }
        let requested_at = Instant::now();
        let sent = held.token.clone();
        let form = config.form()?.secret("refresh_token", sent.secret());
        let mut response = config.send(self, form).await?;
        let new = response.take_refresh_token();
        // Before it is stored, because that may fail.
        if new.is_some_and(|new| held.replace(new, requested_at)) {
            held.unstored = Some(response.clone());
            self.store(held).await?;
        }
        Ok(held.complete(response))
    }

    /// Stores the held token if it is not stored yet. Returns the response that it
    /// came with, unless its access token has expired.
    async fn store(&self, held: &mut Held) -> Result<Option<TokenResponse>, TokenError> {
        if held.unstored.is_none() {
            return Ok(None);
        }
        if let Some(store) = &self.store {
            store(held.token.clone()).await.map_err(|error| {
                let what = "the new refresh token could not be stored";
                TokenError::new(TokenErrorKind::Source, what).with_source(error)
            })?;
        }
        Ok(held.unstored.take().and_then(|response| {
            let lifetime = response.access_token().lifetime();
            match lifetime.map(|lifetime| held.remaining(lifetime)) {
                None => Some(response),
                Some(left) => (!left.is_zero()).then(|| response.with_lifetime(left)),
            }
        }))
    }
}

impl Held {
    /// Replaces the held token. Returns whether this is another one.
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

    /// Returns whether this is the held token, or one that it replaced.
    fn knows(&self, token: &RefreshToken) -> bool {
        let token = hash(token);
        token == hash(&self.token) || self.replaced.contains(&token)
    }

    /// Returns the rest of a lifetime that began with the held token's.
    fn remaining(&self, lifetime: Duration) -> Duration {
        lifetime.saturating_sub(self.requested_at.elapsed())
    }

    /// Adds the held token to a response.
    fn complete(&self, response: TokenResponse) -> TokenResponse {
        let refresh = self.token.clone();
        let refresh = match refresh.lifetime() {
            Some(lifetime) => refresh.with_lifetime(self.remaining(lifetime)),
            None => refresh,
        };
        response.with_refresh_token(refresh)
    }
}

fn hash(token: &RefreshToken) -> u64 {
    let mut hasher = Fingerprint::new();
    token.secret().hash(&mut hasher);
    hasher.finish()
}

impl GrantType for Refresh {
    const NAME: &'static str = "RefreshTokenGrant";
    const CREDENTIALS: &'static str = "refresh token";

    fn grant_type(&self) -> &str {
        "refresh_token"
    }

    fn hash_credentials(&self, hasher: &mut Fingerprint) {
        self.initial.hash(hasher);
    }

    /// Adds nothing: [`Refresh::renew`], which has the token locked, adds it.
    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        Ok(form)
    }

    async fn fetch<T: Transport>(
        &self,
        config: &GrantConfig<T>,
    ) -> Result<TokenResponse, TokenError> {
        let mut held = self.held.lock().await;
        // A cache calls this right after a refused refresh, and there are no other
        // credentials.
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
        // The cache may not have the latest token yet, so an old one is ignored. A
        // token that this grant never had comes from another process, and is newer.
        if !held.knows(token) {
            held.replace(token.clone(), Instant::now());
        }
        let result = self.renew(&mut held, config).await;
        let error = result.as_ref().err();
        let refused = error.filter(|e| e.kind() == TokenErrorKind::Refused);
        held.refused = refused.cloned();
        result
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
