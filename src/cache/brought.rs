//! What a flight brings.

use std::time::Duration;

use crate::cache::clock::Moment;
use crate::error::TokenError;
use crate::events::By;
use crate::token::TokenResponse;

/// The end of a flight, before the ledger knows of it.
pub(crate) struct Brought {
    pub(crate) answer: Result<TokenResponse, TokenError>,
    /// By a refresh token: an answer without one keeps the old.
    pub(crate) refreshed: bool,
    /// When its request was about to be sent.
    pub(crate) born: Moment,
    /// How old the token was by then.
    pub(crate) age: Duration,
    /// The generation in the fleet's store, if the token is there.
    pub(crate) stored: Option<u64>,
    pub(crate) by: By,
    /// The pause after a failure, if it was drawn already.
    pub(crate) pause: Option<Duration>,
}

impl Brought {
    pub(crate) fn new(answer: Result<TokenResponse, TokenError>, born: Moment) -> Self {
        Self {
            answer,
            refreshed: false,
            born,
            age: Duration::ZERO,
            stored: None,
            by: By::Credentials,
            pause: None,
        }
    }
}
