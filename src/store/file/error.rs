//! Errors of a store in files.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::ConfigError;
use crate::store::seal::SealError;

/// Why the files could not be used.
#[derive(Debug)]
pub(super) enum Error {
    /// The operation on this file or folder failed.
    Io(&'static str, PathBuf, io::Error),
    /// This file or folder is refused for a reason.
    Refused(PathBuf, &'static str),
    /// Another process has locked the account and does not release it.
    Locked(PathBuf),
    /// The runtime of the call ended before the call did.
    RuntimeEnded,
    /// The entries are too long to be read back.
    TooLong,
    Seal(SealError),
    Key(ConfigError),
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path, error: impl Into<io::Error>) -> Self {
        Self::Io(doing, path.to_owned(), error.into())
    }

    /// Returns the error of opening without following links.
    pub(super) fn opening(path: &Path, error: Errno) -> Self {
        match error {
            Errno::LOOP | Errno::MLINK => Self::refused(path, "it is a link"),
            Errno::NOTDIR => Self::refused(path, "it is no folder, or a link to one"),
            error => Self::io("open", path, error),
        }
    }

    pub(super) fn refused(path: &Path, why: &'static str) -> Self {
        Self::Refused(path.to_owned(), why)
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(doing, path, _) => write!(f, "cannot {doing} {}", path.display()),
            Self::Refused(path, why) => write!(f, "{} is not used: {why}", path.display()),
            Self::Locked(path) => {
                write!(f, "{} stays locked by another process", path.display())
            }
            Self::RuntimeEnded => f.write_str("the tokio runtime ended before the files were read"),
            Self::TooLong => f.write_str("the entries are too long for a file"),
            Self::Seal(_) => f.write_str("the entries could not be encrypted"),
            Self::Key(_) => f.write_str("there is no key to encrypt with"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io(_, _, error) => Some(error),
            Self::Seal(error) => Some(error),
            Self::Key(error) => Some(error),
            _ => None,
        }
    }
}
