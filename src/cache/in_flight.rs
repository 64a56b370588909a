//! The fetch in progress, and its result.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::clock::Moment;
use crate::error::TokenError;
use crate::telemetry::FetchedBy;
use crate::token::TokenResponse;

#[derive(Debug, Default)]
pub(crate) struct CurrentFetch {
    current: Option<Current>,
    count: u64,
}

#[derive(Debug)]
struct Current {
    id: u64,
    /// It is stalled if it has not landed by then: its runtime stands still.
    until: Instant,
}

impl CurrentFetch {
    /// A flight takes off, and is stalled after `limit`. Gives its id.
    pub(crate) fn begin(&mut self, now: Instant, limit: Duration) -> u64 {
        self.count += 1;
        self.current = Some(Current {
            id: self.count,
            until: now + limit,
        });
        self.count
    }

    /// A flight may take `limit` from now on.
    pub(crate) fn extend(&mut self, id: u64, now: Instant, limit: Duration) {
        if let Some(current) = self.current.as_mut().filter(|it| it.id == id) {
            current.until = now + limit;
        }
    }

    /// A flight has ended; false if it was stalled before.
    pub(crate) fn finish(&mut self, id: u64) -> bool {
        self.current.take_if(|it| it.id == id).is_some()
    }

    /// A flight is under way that should have landed long ago.
    pub(crate) fn is_stalled(&self, now: Instant) -> bool {
        self.current.as_ref().is_some_and(|it| now >= it.until)
    }

    /// How long the flight under way may still take.
    pub(crate) fn remaining(&self, now: Instant) -> Option<Duration> {
        let left = self.current.as_ref()?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

/// The end of a flight, before the state knows of it.
pub(crate) struct FetchResult {
    pub(crate) answer: Result<TokenResponse, TokenError>,
    /// By a refresh token: an answer without one keeps the old.
    pub(crate) refreshed: bool,
    /// When its request was about to be sent.
    pub(crate) requested_at: Moment,
    /// How old the token was by then.
    pub(crate) age: Duration,
    /// The generation in the fleet's store, if the token is there.
    pub(crate) store_generation: Option<u64>,
    pub(crate) by: FetchedBy,
    /// The pause after a failure, if it was drawn already.
    pub(crate) pause: Option<Duration>,
}

impl FetchResult {
    pub(crate) fn new(answer: Result<TokenResponse, TokenError>, requested_at: Moment) -> Self {
        Self {
            answer,
            refreshed: false,
            requested_at,
            age: Duration::ZERO,
            store_generation: None,
            by: FetchedBy::Credentials,
            pause: None,
        }
    }
}
