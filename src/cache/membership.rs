//! The fleet that a cache belongs to.

use std::fmt;

use crate::store::DynTokenStore;

/// A store, and the account's name there.
pub(crate) struct Fleet {
    pub(crate) store: Box<dyn DynTokenStore>,
    pub(crate) account: String,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}
