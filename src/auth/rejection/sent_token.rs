//! The token that was sent, for a rejection found after the head of the response.

use std::fmt;
use std::sync::Arc;

use crate::cache::{Carried, Rejection, Requirements, Shared, WaitForToken, registry};
use crate::error::TokenError;
use crate::origins::OriginId;

/// Identifies the token that a request was sent with. A layer with
/// [`Rejection::in_body`](crate::Rejection::in_body) inserts it into the extensions
/// of each response, for an API that answers 200 to an invalid token and says so in
/// the body, as GraphQL servers do.
///
/// It does not hold the token, only which one it was. So it rejects exactly this
/// token: a late rejection, when a newer token is already in use, costs nothing.
/// Renewals that do not help are backed off, for each origin.
///
/// ```
/// # use std::convert::Infallible;
/// # use http::{Request, Response};
/// # use tower::{BoxError, Layer, ServiceExt};
/// use tower_bearer::{BearerAuthLayer, Rejection, SentToken};
/// # use tower_bearer::{AccessToken, Origins, TokenCache};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let tokens = TokenCache::new(AccessToken::new("t")?);
/// # let client = tower::service_fn(|_: Request<String>| async {
/// #     Ok::<_, Infallible>(Response::new(r#"{"data":{"calls":[]}}"#.to_owned()))
/// # });
/// # let layer = BearerAuthLayer::new(tokens, Origins::any_https());
/// let api = layer.reject_on(Rejection::in_body()).layer(client);
///
/// let query = || Request::post("https://api.example.com/graphql").body("{ calls }".to_owned());
/// let mut response = api.clone().oneshot(query()?).await?;
/// if response.body().contains("UNAUTHENTICATED")
///     && let Some(sent) = response.extensions().get::<SentToken>().cloned()
///     && sent.renew().await?
/// {
///     response = api.oneshot(query()?).await?; // once more, with a newer token
/// }
/// # let _ = response;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SentToken {
    carried: Carried,
    origin: OriginId,
    /// Whether a success is to be reported.
    listening: bool,
}

impl SentToken {
    pub(crate) fn new(carried: Carried, origin: OriginId, listening: bool) -> Self {
        Self {
            carried,
            origin,
            listening,
        }
    }

    /// Reports that the API rejected this token. A newer one is fetched in the
    /// background, unless renewals are backed off; until it arrives, other callers
    /// keep using this one.
    pub fn reject(&self) {
        if let Some(shared) = self.rejected() {
            shared.renew_rejected(self.carried.generation);
        }
    }

    /// Reports that the API rejected this token, and waits for a newer one, so that
    /// the request can be sent again. Returns `false` if there is none because
    /// renewals are backed off: fresh tokens were rejected too.
    ///
    /// # Errors
    ///
    /// Fails if no newer token can be had, as
    /// [`TokenCache::token`](crate::TokenCache::token) does.
    pub async fn renew(&self) -> Result<bool, TokenError> {
        match self.rejected() {
            Some(shared) => self.wait(shared).await.map(|_| true),
            None => Ok(false),
        }
    }

    /// Reports that the API accepted this token. Optional: it ends a backoff early,
    /// and without it each request with a token that came by refresh costs some more
    /// instructions.
    pub fn accept(&self) {
        if let Some(shared) = registry::find(self.carried.cache).filter(|_| self.listening) {
            shared.accepted(self.carried.generation, self.origin, false);
        }
    }

    /// Reports the rejection; returns the cache if a newer token is needed.
    pub(super) fn rejected(&self) -> Option<Arc<Shared>> {
        let shared = registry::find(self.carried.cache)?;
        let rejection = shared.rejected_late(self.carried.generation, self.origin);
        (rejection == Rejection::Renew).then_some(shared)
    }

    /// Returns the wait for a newer token than this one.
    pub(super) fn wait(&self, shared: Arc<Shared>) -> WaitForToken {
        let needs = Requirements {
            newer_than: self.carried.generation,
            ..Requirements::default()
        };
        WaitForToken::new(shared, needs)
    }
}

impl fmt::Debug for SentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentToken")
            .field("generation", &self.carried.generation)
            .finish_non_exhaustive()
    }
}
