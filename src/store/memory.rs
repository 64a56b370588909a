//! A store in this process's memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::BoxError;
use crate::store::token_store::{
    Acquire, Acquired, Completion, Entry, FAILURE_MEMORY, FAILURES_KEPT, Lease, Payload, Stored,
    TokenStore,
};
use crate::sync::lock;

/// A store for several caches in one process, and for tests. Cheap to clone;
/// clones are the same store.
///
/// Nothing leaves the process, so nothing is encrypted. An account of which nothing
/// is left, because it has expired, takes no memory.
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
    by_name: HashMap<String, Account>,
    /// With so many accounts those of which nothing is left are forgotten.
    forget_at: usize,
    /// The highest generation of a forgotten account. No generation is used twice.
    forgotten: u64,
}

/// So few accounts are not worth a search for those that can be forgotten.
const FEW: usize = 64;

impl Accounts {
    fn account(&mut self, name: &str, now: Instant) -> &mut Account {
        if self.by_name.len() >= self.forget_at.max(FEW) && !self.by_name.contains_key(name) {
            self.forget(now);
        }
        let generation = self.forgotten;
        self.by_name
            .entry(name.to_owned())
            .or_insert_with(|| Account {
                generation,
                written: generation,
                ..Account::default()
            })
    }

    /// Forgets the accounts of which nothing is left.
    fn forget(&mut self, now: Instant) {
        let forgotten = &mut self.forgotten;
        self.by_name.retain(|_, account| {
            account.remove_expired(now);
            let stays = !account.is_empty();
            if !stays {
                *forgotten = account.generation.max(*forgotten);
            }
            stays
        });
        self.forget_at = self.by_name.len().saturating_mul(2);
        self.by_name.shrink_to(self.forget_at);
    }
}

impl MemoryStore {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how many accounts the store remembers.
    pub fn len(&self) -> usize {
        lock(&self.accounts).by_name.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with_account<R>(&self, name: &str, f: impl FnOnce(&mut Account, Instant) -> R) -> R {
        let now = Instant::now();
        f(lock(&self.accounts).account(name, now), now)
    }
}

impl TokenStore for MemoryStore {
    async fn acquire(&self, account: &str, acquire: &Acquire) -> Result<Acquired, BoxError> {
        Ok(self.with_account(account, |account, now| account.acquire(acquire, now)))
    }

    async fn complete(&self, account: &str, completion: &Completion) -> Result<bool, BoxError> {
        Ok(self.with_account(account, |account, now| account.complete(completion, now)))
    }

    fn changes(&self, account: &str) -> watch::Receiver<()> {
        self.with_account(account, |account, _| account.changes.subscribe())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// The entries of one account.
#[derive(Default)]
struct Account {
    token: Option<Record>,
    refresh_token: Option<Record>,
    /// By credentials. Never more than [`FAILURES_KEPT`].
    failures: HashMap<u64, Record>,
    /// The generation of the current lease, and when it ends.
    lease: Option<(u64, Instant)>,
    /// The highest generation of any lease.
    generation: u64,
    /// The highest generation that was written.
    written: u64,
    changes: watch::Sender<()>,
}

struct Record {
    generation: u64,
    payload: Payload,
    expires_at: Instant,
}

impl Record {
    fn new(generation: u64, stored: &Stored, now: Instant) -> Self {
        Self {
            generation,
            payload: stored.payload.clone(),
            expires_at: after(now, stored.ttl),
        }
    }

    fn entry(&self, now: Instant) -> Entry {
        Entry {
            generation: self.generation,
            payload: self.payload.clone(),
            ttl: self.expires_at.saturating_duration_since(now),
        }
    }
}

impl Account {
    /// Whether nothing is left of it, and nobody waits for a change.
    fn is_empty(&self) -> bool {
        self.token.is_none()
            && self.refresh_token.is_none()
            && self.failures.is_empty()
            && self.lease.is_none()
            && self.changes.receiver_count() == 0
    }

    fn remove_expired(&mut self, now: Instant) {
        for record in [&mut self.token, &mut self.refresh_token] {
            record.take_if(|record| record.expires_at <= now);
        }
        self.failures
            .retain(|_, failure| after(failure.expires_at, FAILURE_MEMORY) > now);
        self.lease.take_if(|(_, ends_at)| *ends_at <= now);
    }

    fn acquire(&mut self, acquire: &Acquire, now: Instant) -> Acquired {
        self.remove_expired(now);
        match &self.token {
            Some(token) if token.generation > acquire.newer_than => {
                return Acquired::Token(token.entry(now));
            }
            Some(_) if acquire.rejected => self.token = None,
            _ => {}
        }
        if acquire.ignore_failure {
            self.failures.remove(&acquire.credentials);
        }
        let failure = self.failures.get(&acquire.credentials);
        if let Some(failure) = failure.filter(|failure| failure.expires_at > now) {
            return Acquired::Failure(failure.entry(now));
        }
        if let Some((_, ends_at)) = self.lease {
            return Acquired::Busy(ends_at.saturating_duration_since(now));
        }
        if acquire.lease.is_zero() {
            return Acquired::Busy(Duration::ZERO);
        }
        let failure = failure.map(|record| record.payload.clone());
        self.generation += 1;
        self.lease = Some((self.generation, after(now, acquire.lease)));
        Acquired::Lease(Lease {
            generation: self.generation,
            refresh_token: self.refresh_token.take().map(|record| {
                let ttl = record.expires_at.saturating_duration_since(now);
                Stored::new(record.payload, ttl)
            }),
            failure,
        })
    }

    fn complete(&mut self, completion: &Completion, now: Instant) -> bool {
        self.remove_expired(now);
        let generation = completion.generation;
        self.lease.take_if(|(holder, _)| *holder == generation);
        self.changes.send_replace(());
        if generation < self.written {
            return false;
        }
        let record = |stored: &Stored| Record::new(generation, stored, now);
        let refresh_token = completion.refresh_token.as_ref().map(record);
        if completion.token.is_none() && completion.failure.is_none() {
            if self.refresh_token.is_none() {
                self.refresh_token = refresh_token;
            }
            return true;
        }
        self.written = generation;
        if let Some(token) = &completion.token {
            self.token = Some(record(token));
            self.failures.remove(&completion.credentials);
        }
        if let Some(failure) = &completion.failure {
            self.failures.remove(&completion.credentials);
            if !failure.ttl.is_zero() {
                self.insert_failure(completion.credentials, record(failure));
            }
        }
        if refresh_token.is_some() {
            self.refresh_token = refresh_token;
        }
        true
    }
    fn insert_failure(&mut self, credentials: u64, failure: Record) {
        if self.failures.len() >= FAILURES_KEPT {
            let oldest = self
                .failures
                .iter()
                .min_by_key(|(_, failure)| failure.generation);
            let oldest = oldest.map(|(credentials, _)| *credentials);
            self.failures.retain(|it, _| Some(*it) != oldest);
        }
        self.failures.insert(credentials, failure);
    }
}

/// Longer than any token lives.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

fn after(time: Instant, span: Duration) -> Instant {
    time + span.min(CENTURY)
}
