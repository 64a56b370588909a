//! A store in this process's memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::BoxError;
use crate::store::account::{Account, StoreWarning};
use crate::store::token_store::{
    Acquire, Acquired, Completion, Entry, FAILURE_MEMORY, FAILURES_KEPT, Lease, Payload, Stored,
    TokenStore, WITHDRAWAL_MEMORY,
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
    /// By name in lower case, so that those which differ in nothing but that meet.
    by_name: HashMap<String, Vec<(Account, Entries)>>,
    count: usize,
    /// With so many accounts those of which nothing is left are forgotten.
    forget_at: usize,
    /// The highest generation of a forgotten account. No generation is used twice.
    forgotten: u64,
    /// When the store was first used, from which its clock counts.
    epoch: Option<Instant>,
}

/// So few accounts are not worth a search for those that can be forgotten.
const FEW: usize = 64;

impl Accounts {
    fn entries(&mut self, account: &Account, now: Instant) -> &mut Entries {
        let name = account.name.to_lowercase();
        let is = |it: &(Account, Entries)| it.0 == *account;
        let known = self.by_name.get(&name).is_some_and(|it| it.iter().any(is));
        if !known {
            if self.count >= self.forget_at.max(FEW) {
                self.forget(now);
            }
            self.count += 1;
        }
        let generation = self.forgotten;
        let epoch = *self.epoch.get_or_insert(now);
        let namesakes = self.by_name.entry(name).or_default();
        let at = namesakes.iter().position(is).unwrap_or_else(|| {
            let entries = Entries {
                generation,
                written: generation,
                epoch: Some(epoch),
                ..Entries::default()
            };
            namesakes.push((account.clone(), entries));
            namesakes.len() - 1
        });
        &mut namesakes[at].1
    }

    /// Forgets the accounts of which nothing is left.
    fn forget(&mut self, now: Instant) {
        let forgotten = &mut self.forgotten;
        let mut count = 0;
        self.by_name.retain(|_, namesakes| {
            namesakes.retain_mut(|(_, entries)| {
                entries.remove_expired(now);
                let stays = !entries.is_empty();
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
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how many accounts the store remembers.
    pub fn len(&self) -> usize {
        lock(&self.accounts).count
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with_entries<R>(&self, account: &Account, f: impl FnOnce(&mut Entries, Instant) -> R) -> R {
        let now = Instant::now();
        f(lock(&self.accounts).entries(account, now), now)
    }
}

impl TokenStore for MemoryStore {
    async fn acquire(&self, account: &Account, acquire: &Acquire) -> Result<Acquired, BoxError> {
        Ok(self.with_entries(account, |entries, now| entries.acquire(acquire, now)))
    }

    async fn complete(&self, account: &Account, completion: &Completion) -> Result<bool, BoxError> {
        Ok(self.with_entries(account, |entries, now| entries.complete(completion, now)))
    }

    async fn withdraw(&self, account: &Account, nonce: u64) -> Result<(), BoxError> {
        self.with_entries(account, |entries, now| entries.withdraw(nonce, now));
        Ok(())
    }

    fn changes(&self, account: &Account) -> watch::Receiver<()> {
        self.with_entries(account, |entries, _| entries.changes.subscribe())
    }

    fn warning(&self, account: &Account) -> Option<StoreWarning> {
        let now = Instant::now();
        let mut accounts = lock(&self.accounts);
        let namesakes = accounts.by_name.get_mut(&account.name.to_lowercase())?;
        namesakes.iter_mut().find_map(|(other, entries)| {
            entries.remove_expired(now);
            StoreWarning::of(account, other).filter(|_| !entries.is_empty())
        })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// What there is of one account.
#[derive(Default)]
struct Entries {
    token: Option<Record>,
    refresh_token: Option<Record>,
    /// By credentials. Never more than [`FAILURES_KEPT`].
    failures: HashMap<u64, Record>,
    lease: Option<CurrentLease>,
    /// The nonces that were withdrawn, and until when they are remembered.
    withdrawn: Vec<(u64, Instant)>,
    /// The highest generation of any lease.
    generation: u64,
    /// The highest generation that was written.
    written: u64,
    /// That of the store.
    epoch: Option<Instant>,
    changes: watch::Sender<()>,
}

struct CurrentLease {
    generation: u64,
    nonce: u64,
    ends_at: Instant,
    /// What its holder has, if the answer reached it.
    refresh_token: Option<Record>,
}

#[derive(Clone)]
struct Record {
    generation: u64,
    payload: Payload,
    expires_at: Instant,
}

impl Record {
    fn new(generation: u64, stored: &Stored, start: Instant) -> Self {
        Self {
            generation,
            payload: stored.payload.clone(),
            expires_at: after(start, stored.ttl),
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

impl Entries {
    /// Whether nothing is left of it, and nobody waits for a change.
    fn is_empty(&self) -> bool {
        self.token.is_none()
            && self.refresh_token.is_none()
            && self.failures.is_empty()
            && self.lease.is_none()
            && self.withdrawn.is_empty()
            && self.changes.receiver_count() == 0
    }

    fn remove_expired(&mut self, now: Instant) {
        for record in [&mut self.token, &mut self.refresh_token] {
            record.take_if(|record| record.expires_at <= now);
        }
        self.failures
            .retain(|_, failure| after(failure.expires_at, FAILURE_MEMORY) > now);
        self.lease.take_if(|lease| lease.ends_at <= now);
        self.withdrawn.retain(|(_, until)| *until > now);
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
        if let Some(lease) = &self.lease {
            return Acquired::Busy(lease.ends_at.saturating_duration_since(now));
        }
        let withdrawn = |(nonce, _): &(u64, Instant)| *nonce == acquire.nonce;
        if acquire.lease.is_zero() || self.withdrawn.iter().any(withdrawn) {
            return Acquired::Busy(Duration::ZERO);
        }
        let failure = failure.map(|record| record.payload.clone());
        self.generation += 1;
        let refresh_token = self.refresh_token.take();
        self.lease = Some(CurrentLease {
            generation: self.generation,
            nonce: acquire.nonce,
            ends_at: after(now, acquire.lease),
            refresh_token: refresh_token.clone(),
        });
        Acquired::Lease(Lease {
            generation: self.generation,
            started: self.millis_at(now),
            refresh_token: refresh_token.map(|record| {
                let ttl = record.expires_at.saturating_duration_since(now);
                Stored::new(record.payload, ttl)
            }),
            failure,
        })
    }

    fn withdraw(&mut self, nonce: u64, now: Instant) {
        self.remove_expired(now);
        if nonce == 0 {
            return;
        }
        self.withdrawn.push((nonce, after(now, WITHDRAWAL_MEMORY)));
        if let Some(lease) = self.lease.take_if(|lease| lease.nonce == nonce) {
            self.refresh_token = self.refresh_token.take().or(lease.refresh_token);
            self.remove_expired(now);
            self.changes.send_replace(());
        }
    }

    fn complete(&mut self, completion: &Completion, now: Instant) -> bool {
        self.remove_expired(now);
        let generation = completion.generation;
        self.lease.take_if(|lease| lease.generation == generation);
        self.changes.send_replace(());
        if generation < self.written {
            return false;
        }
        let start = match completion.started {
            0 => now,
            started => self.instant_of(started).min(now),
        };
        let record = |stored: &Stored| Record::new(generation, stored, start);
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
            let failure = record(failure);
            if failure.expires_at > now {
                self.insert_failure(completion.credentials, failure);
            }
        }
        if refresh_token.is_some() {
            self.refresh_token = refresh_token;
        }
        true
    }

    /// Milliseconds by the store's clock, which begins with 1.
    fn millis_at(&self, now: Instant) -> u64 {
        let epoch = self.epoch.unwrap_or(now);
        let millis = now.saturating_duration_since(epoch).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn instant_of(&self, millis: u64) -> Instant {
        let epoch = self.epoch.unwrap_or_else(Instant::now);
        after(epoch, Duration::from_millis(millis.saturating_sub(1)))
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
