//! Other users of an account's name in Redis: a mistake that leads to a warning.

use super::error::Error;
use super::redis_store::Inner;
use super::scripts::Names;
use crate::store::account::{Account, StoreWarning};
use crate::store::seal::Kind;

impl Inner {
    /// Records the warning about other users of the account's name, if any.
    /// `unreadable`: an entry of the account was encrypted with an unknown key.
    pub(super) fn note_namesakes(
        &self,
        account: &Account,
        namesakes: &[Vec<u8>],
        unreadable: bool,
    ) {
        let warning = self.warning(account, namesakes, unreadable);
        self.warnings.set(account, warning);
    }

    fn warning(
        &self,
        account: &Account,
        namesakes: &[Vec<u8>],
        unreadable: bool,
    ) -> Option<StoreWarning> {
        let folded = account.name.to_lowercase();
        let mut no_key = unreadable;
        for pair in namesakes.chunks_exact(2) {
            let place = Account::new(folded.as_str()).held_by(String::from_utf8_lossy(&pair[0]));
            let data = self.associated_data(&place, Kind::Account, (0, 0));
            no_key |= self.sealer.lacks_key(&pair[1]);
            let opened = self.sealer.open(data, &pair[1]);
            let other = opened.and_then(|payload| Account::from_payload(&payload));
            let warning = other.and_then(|other| StoreWarning::of(account, &other));
            if warning.is_some() {
                return warning;
            }
        }
        no_key.then_some(StoreWarning::UnknownKey)
    }

    /// Returns the account, sealed for other users of its name.
    pub(super) fn sealed_account(
        &self,
        names: &Names,
        account: &Account,
    ) -> Result<Vec<u8>, Error> {
        let place = Account::new(names.folded.as_str()).held_by(names.suffix.as_str());
        let data = self.associated_data(&place, Kind::Account, (0, 0));
        Ok(self.sealer.seal(data, &account.to_payload())?)
    }
}
