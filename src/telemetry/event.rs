//! The events, and the names of their reasons and outcomes.

use std::fmt;
use std::time::Duration;

use crate::error::{TokenError, TokenErrorKind};

/// Something that happened in a token cache.
pub(crate) enum Event<'a> {
    /// A fetch returned a token.
    Fetched {
        summary: FetchSummary,
        generation: u64,
        by: FetchedBy,
        /// How long the token is valid from now.
        valid_for: Option<Duration>,
    },
    /// The server's `expires_in` cannot be read as a lifetime.
    LifetimeUnreadable {
        /// How long the token itself says it is valid.
        valid_for: Option<Duration>,
    },
    /// A fetch failed.
    Failed {
        summary: FetchSummary,
        error: &'a TokenError,
    },
    /// The runtime of a fetch ended before the fetch did.
    Abandoned { reason: Reason },
    /// A request was sent a second time.
    Replayed { generation: u64, replay: Replay },
    /// A rejection caused no renewal, because recent renewals did not help.
    RenewalBackedOff { generation: u64 },
    /// The server ends the token in use at each refresh, so renewals are exclusive
    /// from now on.
    RenewalExclusive,
    /// The fleet's store failed; `first` if it worked until then.
    StoreError { error: &'a TokenError, first: bool },
    /// The fleet's store works again.
    StoreRecovered,
    /// The store noticed a problem of this account.
    StoreWarning {
        account: &'a str,
        warning: &'a dyn fmt::Display,
    },
    /// The session was ended, or could not be.
    Revoked { error: Option<&'a TokenError> },
}

/// What every fetch reports.
#[derive(Clone, Copy)]
pub(crate) struct FetchSummary {
    pub(crate) reason: Reason,
    pub(crate) took: Duration,
    /// How many callers waited when it ended.
    pub(crate) waiters: usize,
}

/// Why a token was fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There was no token before.
    #[default]
    Cold,
    /// The token was due for renewal.
    Due,
    /// The token had expired.
    Expired,
    /// An API had rejected the token.
    Rejected,
    /// The program had invalidated or revoked the token.
    Invalidated,
    /// The token's remaining life was too short for a caller.
    Short,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Due => "due",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Invalidated => "invalidated",
            Self::Short => "short",
        }
    }
}

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchedBy {
    Credentials,
    RefreshToken,
    /// The fleet's store, where another process had put it.
    Store,
}

impl FetchedBy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::RefreshToken => "refresh_token",
            Self::Store => "store",
        }
    }
}

/// How the API responded to a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    Accepted,
    Rejected,
}

impl Replay {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

/// Returns the name of a failure's kind.
pub(super) fn outcome(error: &TokenError) -> &'static str {
    match error.kind() {
        TokenErrorKind::Connect => "connect",
        TokenErrorKind::Timeout => "timeout",
        TokenErrorKind::Unavailable => "unavailable",
        TokenErrorKind::Refused => "refused",
        TokenErrorKind::InvalidResponse => "invalid_response",
        TokenErrorKind::UnexpectedRedirect => "unexpected_redirect",
        TokenErrorKind::Expired => "expired",
        TokenErrorKind::Config => "config",
        TokenErrorKind::WaitTimeout => "wait_timeout",
        TokenErrorKind::Panicked => "panicked",
        TokenErrorKind::NoRuntime => "no_runtime",
        TokenErrorKind::Source => "source",
        TokenErrorKind::RelativeUri => "relative_uri",
        TokenErrorKind::Store => "store",
        TokenErrorKind::ShutDown => "shut_down",
        TokenErrorKind::NoAccount => "no_account",
    }
}
