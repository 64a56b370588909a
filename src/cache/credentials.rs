//! What the process remembers of refused credentials, whichever cache sent them. A
//! server counts attempts for each account, not for each cache, and the memory has
//! to outlive a cache that is dropped or evicted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::cache::failures::{About, FailureCounts, Failures};
use crate::cache::turn::{Taken, Turn};
use crate::error::TokenError;
use crate::sync::lock;

/// The maximum number of remembered credentials. Those that may be sent again first
/// are forgotten first.
const CAPACITY: usize = 10_000;

type Registry = HashMap<u64, Arc<CredentialMemory>>;

/// By the fingerprint of the credentials, which reveals nothing about them.
static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

fn registry() -> MutexGuard<'static, Registry> {
    lock(&REGISTRY)
}

/// The fingerprints of a request: of its credentials, and of these with what they are
/// sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprints {
    pub(crate) credentials: u64,
    pub(crate) request: u64,
}

impl Fingerprints {
    pub(crate) fn of(self, about: About) -> u64 {
        match about {
            About::Credentials => self.credentials,
            About::Request => self.request,
        }
    }

    pub(crate) fn includes(self, fingerprint: u64) -> bool {
        [self.credentials, self.request].contains(&fingerprint)
    }
}

/// What is known of the credentials with one fingerprint, while an attempt with them
/// is in progress or has failed.
#[derive(Debug)]
pub(crate) struct CredentialMemory {
    fingerprint: u64,
    failures: Mutex<Failures>,
    /// The turn to send them, if no user is known.
    turn: Arc<Turn>,
    /// Whether the last attempt yielded a token.
    proven: AtomicBool,
}

impl CredentialMemory {
    fn of(fingerprint: u64) -> Arc<Self> {
        Self::find_or_insert(&mut registry(), fingerprint)
    }

    fn find_or_insert(registry: &mut Registry, fingerprint: u64) -> Arc<Self> {
        if let Some(memory) = registry.get(&fingerprint) {
            return memory.clone();
        }
        if registry.len() >= CAPACITY {
            make_room(registry);
        }
        let memory = Arc::new(Self {
            fingerprint,
            failures: Mutex::default(),
            turn: Arc::default(),
            proven: AtomicBool::new(false),
        });
        registry.insert(fingerprint, memory.clone());
        memory
    }

    /// Returns what is known of these credentials, if they may not be sent yet.
    pub(crate) fn find_blocking(sent: Fingerprints) -> Option<Arc<Self>> {
        let blocking = |fingerprint| {
            let memory = registry().get(&fingerprint)?.clone();
            memory.blocking(Instant::now()).is_some().then_some(memory)
        };
        let of_request = || blocking(sent.request).filter(|_| sent.request != sent.credentials);
        blocking(sent.credentials).or_else(of_request)
    }

    /// Takes over what another process knows of these credentials: its counts, and
    /// the last failure, which applies until then.
    pub(crate) fn adopt(
        fingerprint: u64,
        error: &TokenError,
        counts: FailureCounts,
        until: Instant,
    ) -> Arc<Self> {
        let mut registry = registry();
        let memory = Self::find_or_insert(&mut registry, fingerprint);
        memory.proven.store(false, Ordering::Relaxed);
        lock(&memory.failures).adopt(error, counts, until);
        memory
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Returns how often the credentials with this fingerprint failed.
    pub(crate) fn counts(fingerprint: u64) -> FailureCounts {
        let memory = registry().get(&fingerprint).cloned();
        memory.map_or_else(FailureCounts::default, |it| lock(&it.failures).counts())
    }

    /// Forgets what is known of these credentials, except an attempt in progress, for
    /// which the next one still waits.
    pub(crate) fn forget(sent: Fingerprints) {
        Self::forget_one(sent.credentials);
        if sent.request != sent.credentials {
            Self::forget_one(sent.request);
        }
    }

    /// Forgets what is kept under this fingerprint.
    pub(crate) fn forget_one(fingerprint: u64) {
        let mut registry = registry();
        let Some(memory) = registry.get(&fingerprint).cloned() else {
            return;
        };
        lock(&memory.failures).clear();
        memory.proven.store(false, Ordering::Relaxed);
        // Unless others hold it: the next attempt waits behind them.
        if Arc::strong_count(&memory) <= 2 {
            registry.remove(&fingerprint);
        }
    }

    /// Returns the last failure, while the next attempt has to wait.
    pub(crate) fn blocking(&self, now: Instant) -> Option<TokenError> {
        lock(&self.failures).blocking(now)
    }

    /// Reads or changes the failures.
    pub(crate) fn with_failures<R>(&self, f: impl FnOnce(&mut Failures) -> R) -> R {
        f(&mut lock(&self.failures))
    }
}

/// Forgets failures that no longer apply, or else those that may be sent again
/// first: an eighth at a time, because searching all of them takes long.
fn make_room(registry: &mut Registry) {
    let now = Instant::now();
    let left = |memory: &CredentialMemory| lock(&memory.failures).backoff_left(now);
    registry.retain(|_, memory| Arc::strong_count(memory) > 1 || left(memory).is_some());
    let limit = CAPACITY - CAPACITY / 8;
    if registry.len() > limit {
        let mut first: Vec<_> = registry
            .iter()
            .map(|(fingerprint, memory)| (left(memory), *fingerprint))
            .collect();
        first.sort_unstable();
        first.truncate(registry.len() - limit);
        for (_, fingerprint) in first {
            registry.remove(&fingerprint);
        }
    }
}

/// The account that an attempt may lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locks {
    Nobody,
    /// A person's; 0 if the name is unknown.
    User(u64),
}

/// The right to send credentials. While they are unproven only one attempt with them
/// is in progress, so that many caches count as one. If a person's account may be
/// locked, there is never more than one for this person, whatever the password:
/// Keycloak (brute force detection) refuses even right passwords if several logins
/// of a user overlap.
#[derive(Debug)]
pub(crate) struct Attempt {
    sent: Fingerprints,
    memory: Arc<CredentialMemory>,
    turn: Arc<Turn>,
    /// Its number among those of the turn.
    number: u64,
    began: Instant,
}

impl Attempt {
    /// Waits for the attempt in progress; this one may take `limit` at most.
    ///
    /// # Errors
    ///
    /// Returns the memory, if the credentials may not be sent yet.
    pub(crate) async fn begin(
        sent: Fingerprints,
        limit: Duration,
        locks: Locks,
    ) -> Result<Self, Arc<CredentialMemory>> {
        let memory = CredentialMemory::of(sent.credentials);
        let turn = match locks {
            Locks::User(user) if user != 0 => Turn::of_user(user),
            _ => memory.turn.clone(),
        };
        loop {
            // Before the check, so that no end is missed.
            let ended = turn.ended();
            let began = Instant::now();
            let taken = turn.take(began, limit, || {
                let waits = locks != Locks::Nobody || !memory.proven.load(Ordering::Relaxed);
                if memory.blocking(began).is_some() {
                    return Err(memory.clone());
                }
                CredentialMemory::find_blocking(sent).map_or(Ok(waits), Err)
            })?;
            match taken {
                Taken::Yes(number) => {
                    drop(ended);
                    return Ok(Self {
                        sent,
                        memory,
                        turn,
                        number,
                        began,
                    });
                }
                Taken::No(until) => {
                    let _ = timeout_at(until, ended).await;
                }
            }
        }
    }

    /// Records that the credentials yielded a token.
    pub(crate) fn succeeded(self) {
        self.memory.proven.store(true, Ordering::Relaxed);
        lock(&self.memory.failures).clear();
        if self.sent.request != self.sent.credentials {
            CredentialMemory::forget_one(self.sent.request);
        }
    }

    /// Records that they did not, unless an overlapping attempt has recorded it:
    /// `record` gets the failures from before. Returns the error with the pause that
    /// applies.
    pub(crate) fn failed(
        self,
        error: &TokenError,
        about: About,
        record: impl FnOnce(&mut Failures) -> TokenError,
    ) -> (Arc<CredentialMemory>, TokenError) {
        let fingerprint = self.sent.of(about);
        let is_shared = fingerprint == self.memory.fingerprint;
        let memory = match is_shared {
            // A success may have removed it meanwhile.
            true => registry()
                .entry(fingerprint)
                .or_insert_with(|| self.memory.clone())
                .clone(),
            false => CredentialMemory::of(fingerprint),
        };
        memory.proven.store(false, Ordering::Relaxed);
        let counts = self.memory.with_failures(|failures| failures.counts());
        let error = {
            let mut failures = lock(&memory.failures);
            // The server has counted those too.
            if !is_shared && counts != FailureCounts::default() {
                failures.adopt(error, counts, Instant::now());
            }
            match failures.pause_since(error, self.began, Instant::now()) {
                Some(left) => error.clone().with_retry_after(Some(left)),
                None => record(&mut failures),
            }
        };
        (memory, error)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.turn.end(self.number);
        // Held during the check, so that no failure is added after it.
        let mut registry = registry();
        if lock(&self.memory.failures).is_clear() {
            let fingerprint = self.memory.fingerprint;
            let is_registered = registry
                .get(&fingerprint)
                .is_some_and(|it| Arc::ptr_eq(it, &self.memory));
            // Unless others hold it: they wait for their turn, and the next attempt
            // waits behind them.
            if is_registered && Arc::strong_count(&self.memory) <= 2 {
                registry.remove(&fingerprint);
            }
        }
    }
}
