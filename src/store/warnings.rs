//! What the store has noticed of its accounts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::store::account::{Account, StoreWarning};
use crate::sync::lock;

/// Of more accounts nothing is kept: the mistake is told often enough.
const CAPACITY: usize = 1000;

pub(super) struct Warnings {
    denied: Arc<AtomicBool>,
    of_accounts: Mutex<HashMap<Account, StoreWarning>>,
}

impl Warnings {
    pub(super) fn new(denied: Arc<AtomicBool>) -> Self {
        Self {
            denied,
            of_accounts: Mutex::default(),
        }
    }

    pub(super) fn get(&self, account: &Account) -> Option<StoreWarning> {
        if self.denied.load(Ordering::Relaxed) {
            return Some(StoreWarning::AccessDenied);
        }
        lock(&self.of_accounts).get(account).cloned()
    }

    pub(super) fn set(&self, account: &Account, warning: Option<StoreWarning>) {
        let mut all = lock(&self.of_accounts);
        match warning {
            None => drop(all.remove(account)),
            Some(warning) if all.len() < CAPACITY || all.contains_key(account) => {
                all.insert(account.clone(), warning);
            }
            Some(_) => {}
        }
    }
}
