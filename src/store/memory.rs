//! A store in this process's memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::BoxError;
use crate::store::account::{Account, StoreWarning};
use crate::store::entries::{Entries, Time};
use crate::store::token_store::{Acquire, Acquired, Completion, TokenStore};
use crate::sync::lock;

/// Store for several caches in one process, and for tests. Cheap to clone; clones
/// are the same store.
///
/// Nothing leaves the process, so nothing is encrypted. An account whose entries
/// have all expired takes no memory.
///
/// ```
/// use tower_bearer::store::MemoryStore;
/// use tower_bearer::{AccessToken, TokenCache};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let source = || async { AccessToken::new("t0ken") };
/// let one = TokenCache::builder(source).store(store.clone(), "me").build()?;
/// let other = TokenCache::builder(source).store(store, "me").build()?;
/// # let _ = (one, other);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    accounts: Arc<Mutex<Accounts>>,
}

#[derive(Default)]
struct Accounts {
    /// By name in lower case, the same for names that differ only in case.
    by_name: HashMap<String, Vec<(Account, Kept)>>,
    count: usize,
    /// The number of accounts from which expired ones are forgotten.
    forget_at: usize,
    /// The highest generation of a forgotten account. No generation is used twice.
    forgotten: u64,
    /// When the store was first used: its clock counts from then.
    epoch: Option<Instant>,
}

/// The entries of one account, and the watchers of its changes.
#[derive(Default)]
struct Kept {
    entries: Entries,
    changes: watch::Sender<()>,
}

/// Fewer accounts than this are not searched for expired ones.
const FEW: usize = 64;

impl Accounts {
    /// Returns the time since the first use.
    fn now(&mut self) -> Time {
        let now = Instant::now();
        now.saturating_duration_since(*self.epoch.get_or_insert(now))
    }

    fn kept(&mut self, account: &Account, now: Time) -> &mut Kept {
        let name = account.name.to_lowercase();
        let is = |it: &(Account, Kept)| it.0 == *account;
        let known = self.by_name.get(&name).is_some_and(|it| it.iter().any(is));
        if !known {
            if self.count >= self.forget_at.max(FEW) {
                self.forget(now);
            }
            self.count += 1;
        }
        let generation = self.forgotten;
        let namesakes = self.by_name.entry(name).or_default();
        let at = namesakes.iter().position(is).unwrap_or_else(|| {
            let mut kept = Kept::default();
            (kept.entries.generation, kept.entries.written) = (generation, generation);
            namesakes.push((account.clone(), kept));
            namesakes.len() - 1
        });
        &mut namesakes[at].1
    }

    /// Forgets the accounts whose entries have all expired.
    fn forget(&mut self, now: Time) {
        let forgotten = &mut self.forgotten;
        let mut count = 0;
        self.by_name.retain(|_, namesakes| {
            namesakes.retain_mut(|(_, Kept { entries, changes })| {
                entries.remove_expired(now);
                let stays = !entries.is_empty() || changes.receiver_count() > 0;
                if !stays {
                    *forgotten = entries.generation.max(*forgotten);
                }
                stays
            });
            count += namesakes.len();
            !namesakes.is_empty()
        });
        self.count = count;
        self.forget_at = count.saturating_mul(2);
        self.by_name.shrink_to(self.forget_at);
    }
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of accounts that the store remembers.
    pub fn len(&self) -> usize {
        lock(&self.accounts).count
    }

    /// Returns whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with_kept<R>(&self, account: &Account, f: impl FnOnce(&mut Kept, Time) -> R) -> R {
        let mut accounts = lock(&self.accounts);
        let now = accounts.now();
        f(accounts.kept(account, now), now)
    }
}

impl TokenStore for MemoryStore {
    async fn acquire(&self, account: &Account, acquire: &Acquire) -> Result<Acquired, BoxError> {
        Ok(self.with_kept(account, |kept, now| kept.entries.acquire(acquire, now, 0)))
    }

    async fn complete(&self, account: &Account, completion: &Completion) -> Result<bool, BoxError> {
        Ok(self.with_kept(account, |kept, now| {
            let written = kept.entries.complete(completion, now);
            kept.changes.send_replace(());
            written
        }))
    }

    async fn withdraw(&self, account: &Account, nonce: u64) -> Result<(), BoxError> {
        self.with_kept(account, |kept, now| {
            if kept.entries.withdraw(nonce, now).is_some() {
                kept.changes.send_replace(());
            }
        });
        Ok(())
    }

    fn changes(&self, account: &Account) -> watch::Receiver<()> {
        self.with_kept(account, |kept, _| kept.changes.subscribe())
    }

    fn warning(&self, account: &Account) -> Option<StoreWarning> {
        let mut accounts = lock(&self.accounts);
        let now = accounts.now();
        let namesakes = accounts.by_name.get_mut(&account.name.to_lowercase())?;
        namesakes.iter_mut().find_map(|(other, kept)| {
            kept.entries.remove_expired(now);
            StoreWarning::of(account, other)
                .filter(|_| !kept.entries.is_empty() || kept.changes.receiver_count() > 0)
        })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
