//! Problems that the store has noticed, by account.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::account::{Account, StoreWarning};
use crate::sync::lock;

/// The maximum number of accounts with a warning: enough for an operator to notice.
const CAPACITY: usize = 1000;

/// How long the warning about an unknown key is kept after it was met: processes
/// that overwrite each other's entries meet it only now and then.
const KEPT: Duration = Duration::from_secs(3600);

fn is_kept((warning, at): &(StoreWarning, Instant), now: Instant) -> bool {
    *warning == StoreWarning::UnknownKey && now.saturating_duration_since(*at) < KEPT
}

pub(super) struct Warnings {
    denied: Arc<AtomicBool>,
    of_accounts: Mutex<HashMap<Account, (StoreWarning, Instant)>>,
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
        let all = lock(&self.of_accounts);
        all.get(account).map(|(warning, _)| warning.clone())
    }

    pub(super) fn set(&self, account: &Account, warning: Option<StoreWarning>) {
        let (now, mut all) = (Instant::now(), lock(&self.of_accounts));
        match warning {
            None => {
                if !all.get(account).is_some_and(|it| is_kept(it, now)) {
                    all.remove(account);
                }
            }
            Some(warning) if all.len() < CAPACITY || all.contains_key(account) => {
                all.insert(account.clone(), (warning, now));
            }
            Some(_) => {}
        }
    }
}
