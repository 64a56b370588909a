//! A store in this process's memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::BoxError;
use crate::store::payload::Payload;
use crate::store::token_store::{Acquire, Acquired, Completion, Entry, Lease, TokenStore};

/// A store for several caches in one process, and for tests. Cheap to clone;
/// clones are the same store.
///
/// Nothing leaves the process, so nothing is encrypted.
#[derive(Clone, Default)]
pub struct MemoryStore {
    accounts: Arc<Mutex<HashMap<String, Account>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<R>(&self, account: &str, f: impl FnOnce(&mut Account) -> R) -> R {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        f(accounts.entry(account.to_owned()).or_default())
    }
}

impl TokenStore for MemoryStore {
    async fn acquire(&self, account: &str, acquire: &Acquire) -> Result<Acquired, BoxError> {
        Ok(self.with(account, |account| account.acquire(acquire, Instant::now())))
    }

    async fn complete(&self, account: &str, completion: &Completion) -> Result<bool, BoxError> {
        Ok(self.with(account, |account| {
            account.complete(completion, Instant::now())
        }))
    }

    fn changes(&self, account: &str) -> watch::Receiver<()> {
        self.with(account, |account| account.changes.subscribe())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// What the store has for an account.
#[derive(Default)]
struct Account {
    token: Option<Kept>,
    refresh_token: Option<Kept>,
    failure: Option<Kept>,
    lease: Option<(u64, Instant)>,
    /// The highest generation that was given to a lease.
    generation: u64,
    /// The highest generation that brought something.
    written: u64,
    changes: watch::Sender<()>,
}

struct Kept {
    generation: u64,
    payload: Payload,
    until: Instant,
}

impl Kept {
    fn entry(&self, now: Instant) -> Entry {
        Entry {
            generation: self.generation,
            payload: self.payload.clone(),
            left: self.until.saturating_duration_since(now),
        }
    }
}

impl Account {
    fn forget_what_is_over(&mut self, now: Instant) {
        for kept in [&mut self.token, &mut self.refresh_token, &mut self.failure] {
            kept.take_if(|kept| kept.until <= now);
        }
        self.lease.take_if(|(_, until)| *until <= now);
    }

    fn acquire(&mut self, acquire: &Acquire, now: Instant) -> Acquired {
        self.forget_what_is_over(now);
        match &self.token {
            Some(token) if token.generation > acquire.newer_than => {
                return Acquired::Token(token.entry(now));
            }
            Some(_) if acquire.rejected => self.token = None,
            _ => {}
        }
        match &self.failure {
            Some(_) if acquire.ignore_failure => self.failure = None,
            Some(failure) => return Acquired::Failure(failure.entry(now)),
            None => {}
        }
        if let Some((_, until)) = self.lease {
            return Acquired::Busy(until.saturating_duration_since(now));
        }
        if acquire.lease.is_zero() {
            return Acquired::Busy(Duration::ZERO);
        }
        self.generation += 1;
        self.lease = Some((self.generation, now + acquire.lease));
        Acquired::Lease(Lease {
            generation: self.generation,
            refresh_token: self.refresh_token.take().map(|kept| {
                let left = kept.until.saturating_duration_since(now);
                (kept.payload, left)
            }),
        })
    }

    fn complete(&mut self, completion: &Completion, now: Instant) -> bool {
        self.forget_what_is_over(now);
        let generation = completion.generation;
        self.lease.take_if(|(holder, _)| *holder == generation);
        self.changes.send_replace(());
        if generation < self.written {
            return false;
        }
        let keep = |(payload, span): &(Payload, Duration)| Kept {
            generation,
            payload: payload.clone(),
            until: now + *span,
        };
        let refresh_token = completion.refresh_token.as_ref().map(keep);
        if completion.token.is_none() && completion.failure.is_none() {
            if self.refresh_token.is_none() {
                self.refresh_token = refresh_token;
            }
            return true;
        }
        self.written = generation;
        if let Some(token) = &completion.token {
            self.token = Some(keep(token));
            self.failure = None;
        }
        if let Some(failure) = &completion.failure {
            self.failure = Some(keep(failure));
        }
        if refresh_token.is_some() {
            self.refresh_token = refresh_token;
        }
        true
    }
}
