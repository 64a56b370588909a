//! What an account is called in the store.

use crate::store::account::Account;

/// What an account is called in the store: a folder for its name, in whichever
/// spelling, and in that files for each account.
pub(super) struct Names {
    /// The name in lower case: those which differ in nothing but that meet.
    pub(super) folded: String,
    pub(super) folder: String,
    pub(super) account: String,
}

/// How the names of files end that hold entries.
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

    /// The name of what is written until it is whole.
    pub(super) fn temporary(&self) -> String {
        format!("{}.new", self.account)
    }

    /// Locked by whoever reads and writes the entries.
    pub(super) fn lock(&self) -> String {
        format!("{}.lock", self.account)
    }

    /// Locked by the holder of the lease.
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
