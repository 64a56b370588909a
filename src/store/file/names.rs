//! The names of an account in the store.

use crate::store::account::Account;

/// The names of an account in the store: a folder for the account's name in any
/// spelling, and files for each account in it.
pub(super) struct Names {
    /// The name in lower case, the same for names that differ only in case.
    pub(super) folded: String,
    pub(super) folder: String,
    pub(super) account: String,
}

/// The ending of files that hold entries.
pub(super) const ENTRIES: &str = ".tokens";

impl Names {
    pub(super) fn of(account: &Account) -> Self {
        let folded = account.name.to_lowercase();
        Self {
            folder: hex(Account::new(folded.as_str()).hash()),
            account: hex(account.hash()),
            folded,
        }
    }

    pub(super) fn entries(&self) -> String {
        format!("{}{ENTRIES}", self.account)
    }

    /// Returns the name of the entries' file until it is complete.
    pub(super) fn temporary(&self) -> String {
        format!("{}.new", self.account)
    }

    /// Returns the name of the file that is locked to read or write the entries.
    pub(super) fn lock(&self) -> String {
        format!("{}.lock", self.account)
    }

    /// Returns the name of the file that the holder of the lease locks.
    pub(super) fn lease(&self) -> String {
        format!("{}.lease", self.account)
    }
}

fn hex(hash: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_one_name_share_a_folder_and_no_file() {
        let names = |name: &str, holder: &str| Names::of(&Account::new(name).held_by(holder));
        let (one, other, spelt) = (names("me", "a"), names("me", "b"), names("ME", "a"));
        assert_eq!(one.folder, other.folder);
        assert_eq!(one.folder, spelt.folder);
        assert_ne!(one.account, other.account);
        assert_ne!(one.account, spelt.account);
        assert_ne!(one.folder, names("you", "a").folder);
        let name = names("../../etc", "").folder;
        assert!(name.chars().all(|it| it.is_ascii_hexdigit()), "{name}");
    }
}
