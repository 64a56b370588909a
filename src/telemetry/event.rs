//! The events, and the words for them.

use std::time::Duration;

use crate::error::{TokenError, TokenErrorKind};

pub(crate) enum Event<'a> {
    /// A flight has brought a token.
    Fetched {
        summary: FetchSummary,
        generation: u64,
        by: FetchedBy,
        /// How long the token may be sent from now on.
        valid_for: Option<Duration>,
    },
    /// A flight has brought none.
    Failed {
        summary: FetchSummary,
        error: &'a TokenError,
    },
    /// A flight's runtime has ended under it.
    Abandoned { reason: Reason },
    /// A request was sent a second time.
    Replayed { generation: u64, replay: Replay },
    /// A 401 led to no renewal, since renewing did not help lately.
    RenewalBackedOff { generation: u64 },
    /// The fleet's store could not be asked; `first`: it could before.
    StoreFault { error: &'a TokenError, first: bool },
    /// The fleet's store answers again.
    StoreBack,
    /// The session was ended, or not.
    Revoked { error: Option<&'a TokenError> },
}

/// How a flight went.
#[derive(Clone, Copy)]
pub(crate) struct FetchSummary {
    pub(crate) reason: Reason,
    pub(crate) took: Duration,
    /// Callers who waited when it landed.
    pub(crate) waiters: usize,
}

/// Why a flight took off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There was no token yet.
    #[default]
    Cold,
    /// It was time to renew it.
    Due,
    /// It had expired.
    Expired,
    /// An API had rejected it.
    Rejected,
    /// It was invalidated or revoked by the program.
    Invalidated,
    /// A caller wanted one with more life left.
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

/// How a token was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchedBy {
    Credentials,
    RefreshToken,
    /// Another process of the fleet had it.
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

/// What a replay came to.
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

/// The word for a failure.
pub(crate) fn outcome(error: &TokenError) -> &'static str {
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
