//! The server's counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{Response, StatusCode};

use super::api_rejection::Rejected;

/// Counters of a [`TokenServer`](super::TokenServer) since it started.
///
/// ```
/// use tower_bearer::TokenCache;
/// use tower_bearer::testing::TokenServer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_bearer::TokenError> {
/// let server = TokenServer::builder().in_process();
/// let tokens = TokenCache::new(server.grant());
/// tokens.token().await?;
/// tokens.token().await?;
/// let counts = server.counts();
/// assert_eq!((counts.token_requests, counts.open_sessions), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests to the token endpoint, successful or not.
    pub token_requests: u64,
    /// Successful logins with a user's password. Each opened a session.
    pub password_grants: u64,
    /// Successful refreshes.
    pub refresh_grants: u64,
    /// Successful grants of the client's own credentials.
    pub client_credentials_grants: u64,
    /// Assertions that were exchanged for a token (RFC 7523).
    pub jwt_bearer_grants: u64,
    /// Tokens that were exchanged for another one (RFC 8693).
    pub token_exchange_grants: u64,
    /// Requests to VoIPex's exchange, successful or not.
    pub exchange_requests: u64,
    /// Tokens of an API access that were exchanged for a user's at VoIPex's exchange.
    /// Each opened a session.
    pub exchanges: u64,
    /// The highest number of concurrent requests to VoIPex's exchange.
    pub max_concurrent_exchange_requests: u64,
    /// Successful requests for the server's metadata.
    pub discovery_requests: u64,
    /// Token requests with a response status of 400 or above, including mock
    /// responses.
    pub refused: u64,
    /// The highest number of concurrent token requests.
    pub max_concurrent_token_requests: u64,
    /// Refresh tokens that were used again after rotation had replaced them. Each
    /// time the session's tokens were revoked; the session itself stays open.
    pub refresh_token_reuses: u64,
    /// Sessions that are open now.
    pub open_sessions: u64,
    /// Requests to the API, successful or not.
    pub api_requests: u64,
    /// API requests with a 2xx response that is not a rejection, including mock
    /// responses.
    pub api_ok: u64,
    /// API requests with a 401 response, including mock responses, or with another
    /// [`ApiRejection`](super::ApiRejection).
    pub api_unauthorized: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) token_requests: AtomicU64,
    pub(super) password_grants: AtomicU64,
    pub(super) refresh_grants: AtomicU64,
    pub(super) client_credentials_grants: AtomicU64,
    pub(super) jwt_bearer_grants: AtomicU64,
    pub(super) token_exchange_grants: AtomicU64,
    exchange_requests: AtomicU64,
    pub(super) exchanges: AtomicU64,
    pub(super) discovery_requests: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) refresh_token_reuses: AtomicU64,
    token_waiters: Waiters,
    exchange_waiters: Waiters,
    api_requests: AtomicU64,
    api_ok: AtomicU64,
    api_unauthorized: AtomicU64,
}

/// How many requests have no response yet.
#[derive(Default)]
struct Waiters {
    now: AtomicU64,
    max: AtomicU64,
}

/// A request without a response yet.
pub(super) struct Waiting {
    counters: Arc<Counters>,
    waiters: fn(&Counters) -> &Waiters,
}

impl Counters {
    pub(super) fn token_request(self: &Arc<Self>) -> Waiting {
        add(&self.token_requests);
        self.wait(|counters| &counters.token_waiters)
    }

    pub(super) fn exchange_request(self: &Arc<Self>) -> Waiting {
        add(&self.exchange_requests);
        self.wait(|counters| &counters.exchange_waiters)
    }

    fn wait(self: &Arc<Self>, waiters: fn(&Self) -> &Waiters) -> Waiting {
        let Waiters { now, max } = waiters(self);
        max.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
        Waiting {
            counters: Arc::clone(self),
            waiters,
        }
    }

    pub(super) fn token_response(&self, status: StatusCode) {
        if status.as_u16() >= 400 {
            add(&self.refused);
        }
    }

    pub(super) fn api_request(&self) {
        add(&self.api_requests);
    }

    pub(super) fn api_response<B>(&self, response: &Response<B>) {
        let status = response.status();
        let rejects = || response.extensions().get::<Rejected>().is_some();
        if status == StatusCode::UNAUTHORIZED || rejects() {
            add(&self.api_unauthorized);
        } else if status.is_success() {
            add(&self.api_ok);
        }
    }

    pub(super) fn read(&self, open_sessions: u64) -> Counts {
        Counts {
            token_requests: self.token_requests.load(Relaxed),
            password_grants: self.password_grants.load(Relaxed),
            refresh_grants: self.refresh_grants.load(Relaxed),
            client_credentials_grants: self.client_credentials_grants.load(Relaxed),
            jwt_bearer_grants: self.jwt_bearer_grants.load(Relaxed),
            token_exchange_grants: self.token_exchange_grants.load(Relaxed),
            exchange_requests: self.exchange_requests.load(Relaxed),
            exchanges: self.exchanges.load(Relaxed),
            max_concurrent_exchange_requests: self.exchange_waiters.max.load(Relaxed),
            discovery_requests: self.discovery_requests.load(Relaxed),
            refused: self.refused.load(Relaxed),
            max_concurrent_token_requests: self.token_waiters.max.load(Relaxed),
            refresh_token_reuses: self.refresh_token_reuses.load(Relaxed),
            open_sessions,
            api_requests: self.api_requests.load(Relaxed),
            api_ok: self.api_ok.load(Relaxed),
            api_unauthorized: self.api_unauthorized.load(Relaxed),
        }
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Drop for Waiting {
    fn drop(&mut self) {
        (self.waiters)(&self.counters).now.fetch_sub(1, Relaxed);
    }
}
