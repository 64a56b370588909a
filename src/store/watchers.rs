//! The watchers of changes of an account.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::sync::lock;

/// The number of accounts from which those without watchers are removed.
const PRUNE_FROM: usize = 64;

/// Watchers by the store's name for the account.
#[derive(Default)]
pub(super) struct Watchers(Mutex<Accounts>);

#[derive(Default)]
struct Accounts {
    senders: HashMap<String, watch::Sender<()>>,
    /// The number of accounts at which those without watchers are next removed.
    prune_at: usize,
}

impl Watchers {
    #[cfg(feature = "redis")]
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).senders.is_empty()
    }

    pub(super) fn watch(&self, account: &str) -> watch::Receiver<()> {
        let mut accounts = lock(&self.0);
        if let Some(sender) = accounts.senders.get(account) {
            return sender.subscribe();
        }
        if accounts.senders.len() >= accounts.prune_at {
            accounts
                .senders
                .retain(|_, sender| sender.receiver_count() > 0);
            accounts.prune_at = PRUNE_FROM.max(2 * accounts.senders.len());
        }
        let (sender, receiver) = watch::channel(());
        accounts.senders.insert(account.to_owned(), sender);
        receiver
    }

    pub(super) fn notify(&self, account: &[u8]) {
        let account = std::str::from_utf8(account).unwrap_or_default();
        if let Some(sender) = lock(&self.0).senders.get(account) {
            sender.send_replace(());
        }
    }

    #[cfg(feature = "redis")]
    pub(super) fn notify_all(&self) {
        let accounts = lock(&self.0);
        accounts
            .senders
            .values()
            .for_each(|sender| sender.send_replace(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_without_watchers_do_not_pile_up() {
        let watchers = Watchers::default();
        let kept: Vec<_> = (0..10)
            .map(|n| watchers.watch(&format!("kept {n}")))
            .collect();
        for n in 0..10_000 {
            watchers.watch(&format!("gone {n}"));
        }
        let accounts = lock(&watchers.0);
        assert!(accounts.senders.len() <= 2 * PRUNE_FROM);
        let kept = (0..kept.len()).all(|n| accounts.senders.contains_key(&format!("kept {n}")));
        assert!(kept);
    }
}
