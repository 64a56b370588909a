//! The status of a cache, and watching it.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::cache::exclusive::Renewal;
use crate::cache::schedule::Freshness;
use crate::cache::shared::Shared;
use crate::cache::token_cache::TokenCache;
use crate::error::TokenError;
use crate::store::StoreWarning;

impl TokenCache {
    /// Returns the current status.
    pub fn status(&self) -> Status {
        Status::of(&self.shared)
    }

    /// Watches the [status](Self::status), for a dashboard, a log, or a program that
    /// waits for its account to work.
    ///
    /// ```
    /// use tower_bearer::{AccessToken, TokenCache};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let tokens = TokenCache::new(AccessToken::new("fixed")?);
    /// let mut watch = tokens.watch();
    /// tokens.warm_up().await?;
    /// let status = watch.changed().await.expect("the cache is still there");
    /// assert_eq!(status.generation, Some(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> StatusWatch {
        StatusWatch {
            shared: Arc::downgrade(&self.shared),
            changes: self.shared.changes.subscribe(),
        }
    }
}

/// Receiver of status changes, made by [`TokenCache::watch`]. Does not keep the
/// cache alive.
pub struct StatusWatch {
    shared: Weak<Shared>,
    changes: watch::Receiver<()>,
}

impl StatusWatch {
    /// Waits for a token, a failure or another change of the status, and returns the
    /// status after it. Several changes in a row may be reported as one. The mere
    /// passage of time (a token becoming due) is not reported. Returns `None` once
    /// the last handle of the cache is gone.
    ///
    /// Cancel safe: a dropped wait loses no change.
    pub async fn changed(&mut self) -> Option<Status> {
        self.changes.changed().await.ok()?;
        self.status()
    }

    /// Returns the current status, or `None` once the last handle of the cache is
    /// gone.
    pub fn status(&self) -> Option<Status> {
        let shared = self.shared.upgrade()?;
        Some(Status::of(&shared))
    }
}

impl fmt::Debug for StatusWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusWatch").finish_non_exhaustive()
    }
}

/// Status of a [`TokenCache`] at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Generation of the token in use, if there is a valid one.
    pub generation: Option<u64>,
    /// How long that token may still be sent; `None` without one, or if its
    /// issuer did not say.
    pub valid_for: Option<Duration>,
    /// Whether that token is due for renewal.
    pub is_due: bool,
    /// Whether a fetch is in progress.
    pub is_fetching: bool,
    /// How long fetches are still backed off after a failure.
    pub fetch_backoff: Option<Duration>,
    /// How long rejected tokens still cause no renewal, after renewing did not help.
    pub rejection_backoff: Option<Duration>,
    /// The failure of the last fetch, if it failed.
    pub last_error: Option<TokenError>,
    /// Why the last call of the [store](crate::store) failed, if it did: until one
    /// succeeds, this process fetches on its own.
    pub store_error: Option<TokenError>,
    /// A problem that the [store](crate::store) has noticed, for an operator.
    pub store_warning: Option<StoreWarning>,
    /// How the token is renewed: as set, or as learned since.
    pub renewal: Renewal,
    /// Whether the cache was [shut down](TokenCache::shutdown).
    pub is_closed: bool,
}

impl Status {
    pub(crate) fn of(shared: &Shared) -> Self {
        shared.with_state(|state, now| {
            let live = state.live.as_ref();
            let live = live.filter(|live| live.freshness(now) != Freshness::Expired);
            Self {
                generation: live.map(|live| live.generation()),
                valid_for: live.and_then(|live| live.remaining(now)),
                is_due: live.is_some_and(|live| live.freshness(now) == Freshness::Due),
                is_fetching: state.is_fetching(now.monotonic),
                fetch_backoff: state.backoff_left(now.monotonic),
                rejection_backoff: state.rejection_backoff(now.monotonic),
                last_error: state.last_error(),
                store_error: state.rare.store_error.clone(),
                store_warning: state.rare.store_warning.clone(),
                renewal: state.renewal(),
                is_closed: state.is_closed(),
            }
        })
    }
}
