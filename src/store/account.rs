//! The owner of the tokens in a store, and warnings about it.

use std::fmt;
#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
use std::hash::Hasher;

#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
use siphasher::sip128::{Hasher128, SipHasher24};

#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
use crate::store::payload::Payload;

/// Account in a store: the name that the program gave it, and its holder.
///
/// ```
/// use tower_bearer::store::Account;
///
/// let staging = Account::new("billing").held_by("https://id.staging.example.com/token");
/// let production = Account::new("billing").held_by("https://id.example.com/token");
/// assert_ne!(staging, production);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Account {
    /// The name, which is not treated as a secret.
    pub name: String,
    /// The holder of the tokens, as text: token endpoint, client, user, and what
    /// else a grant requests that is not secret. Empty if the source does not report
    /// it.
    pub holder: String,
}

impl Account {
    /// Creates an account with this name and an empty holder.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            holder: String::new(),
        }
    }

    /// Sets the holder.
    #[must_use]
    pub fn held_by(mut self, holder: impl Into<String>) -> Self {
        self.holder = holder.into();
        self
    }
}

#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
impl Account {
    /// Identifies an account by a hash of its name and its holder, neither of which
    /// is secret.
    pub(super) fn hash(&self) -> [u8; 16] {
        let mut hasher = SipHasher24::new();
        hasher.write(&(self.name.len() as u64).to_be_bytes());
        hasher.write(self.name.as_bytes());
        hasher.write(self.holder.as_bytes());
        hasher.finish128().as_bytes()
    }

    pub(super) fn to_payload(&self) -> Payload {
        let length = (self.name.len() as u64).to_be_bytes();
        let parts = [&length, self.name.as_bytes(), self.holder.as_bytes()];
        Payload::from(parts.concat())
    }

    pub(super) fn from_payload(payload: &Payload) -> Option<Self> {
        let (length, rest) = payload.as_bytes().split_first_chunk()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let (name, holder) = rest.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok()?;
        Some(Self::new(name).held_by(std::str::from_utf8(holder).ok()?))
    }
}

impl From<&str> for Account {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// Problem that a store has noticed, most likely a mistake in the configuration of
/// one of the processes. Nothing is shared by mistake meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreWarning {
    /// The same name is in use for another [holder](Account::holder): another
    /// endpoint, client or user, for example, or another scope.
    OtherHolder {
        /// The holder in this process.
        ours: String,
        /// The other holder.
        theirs: String,
    },
    /// The same name is in use with other letter case too.
    OtherSpelling {
        /// The spelling in this process.
        ours: String,
        /// The other spelling.
        theirs: String,
    },
    /// Entries are encrypted with a key that this process does not have.
    UnknownKey,
    /// The store refuses this process's user or password.
    AccessDenied,
}

impl fmt::Display for StoreWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherHolder { ours, theirs } => write!(
                f,
                "the account's name is also in use for {theirs}, not only for {ours}: they share nothing"
            ),
            Self::OtherSpelling { ours, theirs } => write!(
                f,
                "the account is also called {theirs:?}, not only {ours:?}: they share nothing"
            ),
            Self::UnknownKey => f.write_str(
                "the store has entries that none of this process's keys decrypts: they are ignored",
            ),
            Self::AccessDenied => f.write_str("the store refuses this process's user or password"),
        }
    }
}

impl StoreWarning {
    /// Returns the warning about two accounts of one store whose names differ at
    /// most in letter case.
    pub(crate) fn of(ours: &Account, theirs: &Account) -> Option<Self> {
        if ours == theirs {
            return None;
        }
        let pair = |ours: &str, theirs: &str| (ours.to_owned(), theirs.to_owned());
        Some(if ours.name == theirs.name {
            let (ours, theirs) = pair(&ours.holder, &theirs.holder);
            Self::OtherHolder { ours, theirs }
        } else {
            let (ours, theirs) = pair(&ours.name, &theirs.name);
            Self::OtherSpelling { ours, theirs }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_nearly_one_name_are_told_apart() {
        let account = |name: &str, holder: &str| Account::new(name).held_by(holder);
        let me = account("me", "a");
        assert_eq!(StoreWarning::of(&me, &me), None);
        let told = |theirs| StoreWarning::of(&me, &theirs).map(|it| it.to_string());
        for (theirs, named) in [
            (account("me", "b"), ["for b", "for a"]),
            (account("Me", "a"), ["\"Me\"", "\"me\""]),
            (account("ME", "b"), ["\"ME\"", "\"me\""]),
        ] {
            let told = told(theirs).expect("a warning");
            assert!(named.iter().all(|name| told.contains(name)), "{told}");
        }
    }
}
