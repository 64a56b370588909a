//! A source that reports when a token is being fetched.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tower_bearer::{RefreshToken, TokenError, TokenResponse, TokenSource};

/// How long after an answer a renewal still counts as under way: the time to
/// put the new token in place, and the first requests with it.
const AFTERMATH: Duration = Duration::from_millis(5);

/// When there is or was a renewal.
#[derive(Clone)]
pub(crate) struct Renewals {
    start: Instant,
    /// The end of the last one; `MAX` while one is under way.
    until: Arc<AtomicU64>,
}

impl Renewals {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            until: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Whether a request that began then and ends now overlaps a renewal.
    pub(crate) fn overlap(&self, began: Instant) -> bool {
        let began = (began - self.start).as_nanos();
        began < u128::from(self.until.load(SeqCst))
    }

    async fn during<T>(&self, renewal: impl Future<Output = T>) -> T {
        self.until.store(u64::MAX, SeqCst);
        let answer = renewal.await;
        let until = (self.start.elapsed() + AFTERMATH).as_nanos();
        self.until
            .store(u64::try_from(until).unwrap_or(u64::MAX), SeqCst);
        answer
    }
}

pub(crate) struct Watched<S> {
    pub(crate) source: S,
    pub(crate) renewals: Renewals,
}

impl<S: TokenSource> TokenSource for Watched<S> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.renewals.during(self.source.fetch()).await
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.renewals
            .during(self.source.refresh(refresh_token))
            .await
    }
}
