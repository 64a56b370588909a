//! Whose tokens a store keeps, and what an operator is told of it.

use std::fmt;
#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
use std::hash::Hasher;

#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
use siphasher::sip128::{Hasher128, SipHasher24};

#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
use crate::store::payload::Payload;

/// An account in a store: the name that the program gave it, and who holds it.
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
    /// The name, which is no secret.
    pub name: String,
    /// Whose tokens they are, as text: token endpoint, client, user, and what else a
    /// grant asks for that is no secret. Empty for a source that does not say.
    pub holder: String,
}

impl Account {
    /// Returns an account with this name, of nobody in particular.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            holder: String::new(),
        }
    }

    /// Returns the account of this holder.
    #[must_use]
    pub fn held_by(mut self, holder: impl Into<String>) -> Self {
        self.holder = holder.into();
        self
    }
}

#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
impl Account {
    /// Tells an account from others: a hash of its name and its holder, neither of
    /// which is a secret.
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

/// Something in a store that an operator should know of: most likely a mistake in the
/// configuration of one of the processes. Nothing is shared by mistake meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreWarning {
    /// The same name is in use for another endpoint, client or user.
    OtherHolder {
        /// The holder that this process has.
        ours: String,
        /// The other one.
        theirs: String,
    },
    /// The name is in use in another spelling too, of upper and lower case.
    OtherSpelling {
        /// This process's spelling.
        ours: String,
        /// The other one.
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
    /// What two accounts of one store, whose names are the same but for upper and
    /// lower case, have to tell an operator.
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
