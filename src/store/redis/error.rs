//! What goes wrong with a store in Redis.

use std::error::Error as StdError;
use std::fmt;

use redis::RedisError;

/// Why the store could not be asked.
#[derive(Debug)]
pub(crate) enum Fault {
    Redis(RedisError),
    /// Nothing came in time.
    Timeout,
    /// The call's runtime ended before it.
    Ended,
    /// An entry that nobody could read back.
    TooLong,
    /// The system gave no random numbers.
    Random,
    /// Entries that do not open came back each time that they were deleted.
    Unreadable,
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis(_) => "Redis could not be asked",
            Self::Timeout => "Redis did not answer in time",
            Self::Ended => "the runtime ended before Redis answered",
            Self::TooLong => "what is to be kept in Redis is too long",
            Self::Random => "the system gave no random numbers to seal with",
            Self::Unreadable => "what Redis has for this account does not open",
        })
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Redis(error) => Some(error),
            _ => None,
        }
    }
}
