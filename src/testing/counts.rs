//! What the server counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::StatusCode;

/// What a [`TokenServer`](super::TokenServer) has seen since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests to the token endpoint, whatever came of them.
    pub token_requests: u64,
    /// Logins with a user's password that succeeded. Each opened a session.
    pub password_grants: u64,
    /// Refreshes that succeeded.
    pub refresh_grants: u64,
    /// Grants of the client's own credentials that succeeded.
    pub client_credentials_grants: u64,
    /// Assertions that were exchanged for a token (RFC 7523).
    pub jwt_bearer_grants: u64,
    /// Tokens that were exchanged for another one (RFC 8693).
    pub token_exchange_grants: u64,
    /// Requests for what the server says of itself that succeeded.
    pub discovery_requests: u64,
    /// Token requests answered with a status of 400 or above, scripted ones
    /// included.
    pub refused: u64,
    /// The most token requests that were waiting for an answer at one time.
    pub max_concurrent_token_requests: u64,
    /// Refresh tokens that came again after rotation had replaced them. Each
    /// took the client's part in its session, which stays open without it.
    pub refresh_token_reuses: u64,
    /// Sessions that are open now.
    pub open_sessions: u64,
    /// Requests to the API, whatever came of them.
    pub api_requests: u64,
    /// API requests answered with a 2xx status, scripted ones included.
    pub api_ok: u64,
    /// API requests answered with 401, scripted ones included.
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
    pub(super) discovery_requests: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) refresh_token_reuses: AtomicU64,
    waiting: AtomicU64,
    max_waiting: AtomicU64,
    api_requests: AtomicU64,
    api_ok: AtomicU64,
    api_unauthorized: AtomicU64,
}

/// A token request that has no answer yet.
pub(super) struct Waiting(Arc<Counters>);

impl Counters {
    pub(super) fn token_request(self: &Arc<Self>) -> Waiting {
        add(&self.token_requests);
        let waiting = self.waiting.fetch_add(1, Relaxed) + 1;
        self.max_waiting.fetch_max(waiting, Relaxed);
        Waiting(Arc::clone(self))
    }

    pub(super) fn token_answer(&self, status: StatusCode) {
        if status.as_u16() >= 400 {
            add(&self.refused);
        }
    }

    pub(super) fn api_request(&self) {
        add(&self.api_requests);
    }

    pub(super) fn api_answer(&self, status: StatusCode) {
        if status.is_success() {
            add(&self.api_ok);
        } else if status == StatusCode::UNAUTHORIZED {
            add(&self.api_unauthorized);
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
            discovery_requests: self.discovery_requests.load(Relaxed),
            refused: self.refused.load(Relaxed),
            max_concurrent_token_requests: self.max_waiting.load(Relaxed),
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
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
