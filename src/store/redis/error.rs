//! Errors of a store in Redis.

use std::error::Error as StdError;
use std::fmt;

use redis::RedisError;

use crate::store::seal::SealError;

/// Why Redis could not be used.
#[derive(Debug)]
pub(super) enum Error {
    Redis(RedisError),
    /// No answer arrived in time.
    Timeout,
    /// The runtime of the call ended before the call did.
    RuntimeEnded,
    /// The entry is too long to be read back.
    TooLong,
    Seal(SealError),
    /// Entries that cannot be opened came back each time that they were deleted.
    Unreadable,
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis(_) => "Redis could not be used",
            Self::Timeout => "Redis did not answer in time",
            Self::RuntimeEnded => "the tokio runtime ended before Redis answered",
            Self::TooLong => "the entry is too long for Redis",
            Self::Seal(_) => "the entry could not be encrypted",
            Self::Unreadable => "the entries in Redis for this account cannot be decrypted",
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Redis(error) => Some(error),
            Self::Seal(error) => Some(error),
            _ => None,
        }
    }
}
