//! The entries of one account and the rules for them, for the stores that are
//! written in Rust. Without I/O; the time is passed in.

use std::time::Duration;

use crate::store::payload::{Payload, Stored};
use crate::store::token_store::{
    Acquire, Acquired, Completion, Entry, FAILURE_MEMORY, FAILURES_KEPT, Lease, WITHDRAWAL_MEMORY,
};

/// The number of withdrawals that are kept; the oldest are forgotten first.
const WITHDRAWALS_KEPT: usize = 1000;

/// A time, counted from a moment that the store chooses.
pub(super) type Time = Duration;

/// The entries of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) token: Option<Record>,
    pub(super) refresh_token: Option<Record>,
    /// By credentials. At most [`FAILURES_KEPT`].
    pub(super) failures: Vec<(u64, Record)>,
    pub(super) lease: Option<CurrentLease>,
    /// The withdrawn nonces, and until when each is remembered.
    pub(super) withdrawn: Vec<(u64, Time)>,
    /// The highest generation of any lease.
    pub(super) generation: u64,
    /// The highest generation that was written.
    pub(super) written: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CurrentLease {
    pub(super) generation: u64,
    pub(super) nonce: u64,
    pub(super) ends_at: Time,
    /// The refresh token that its holder has, if the answer reached it.
    pub(super) refresh_token: Option<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) generation: u64,
    pub(super) payload: Payload,
    pub(super) expires_at: Time,
}

impl Record {
    fn new(generation: u64, stored: &Stored, start: Time) -> Self {
        Self {
            generation,
            payload: stored.payload.clone(),
            expires_at: after(start, stored.ttl),
        }
    }

    fn entry(&self, now: Time) -> Entry {
        Entry {
            generation: self.generation,
            payload: self.payload.clone(),
            ttl: self.expires_at.saturating_sub(now),
        }
    }
}

impl Entries {
    /// Returns whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.token.is_none()
            && self.refresh_token.is_none()
            && self.failures.is_empty()
            && self.lease.is_none()
            && self.withdrawn.is_empty()
    }

    pub(super) fn remove_expired(&mut self, now: Time) {
        for record in [&mut self.token, &mut self.refresh_token] {
            record.take_if(|record| record.expires_at <= now);
        }
        self.failures
            .retain(|(_, failure)| after(failure.expires_at, FAILURE_MEMORY) > now);
        self.lease.take_if(|lease| lease.ends_at <= now);
        self.withdrawn.retain(|(_, until)| *until > now);
    }

    /// Answers [`TokenStore::acquire`](crate::store::TokenStore::acquire). The
    /// generation of a lease is at least `least_generation`.
    pub(super) fn acquire(
        &mut self,
        acquire: &Acquire,
        now: Time,
        least_generation: u64,
    ) -> Acquired {
        self.remove_expired(now);
        match &self.token {
            Some(token) if token.generation > acquire.newer_than => {
                return Acquired::Token(token.entry(now));
            }
            Some(_) if acquire.rejected => self.token = None,
            _ => {}
        }
        if acquire.ignore_failure {
            self.remove_failure(acquire.credentials);
        }
        let mut failures = self.failures.iter();
        let failure = failures.find(|(credentials, _)| *credentials == acquire.credentials);
        let failure = failure.map(|(_, failure)| failure);
        if let Some(failure) = failure.filter(|failure| failure.expires_at > now) {
            return Acquired::Failure(failure.entry(now));
        }
        if let Some(lease) = &self.lease {
            return Acquired::Busy(lease.ends_at.saturating_sub(now));
        }
        let withdrawn = |(nonce, _): &(u64, Time)| *nonce == acquire.nonce;
        if acquire.lease.is_zero() || self.withdrawn.iter().any(withdrawn) {
            return Acquired::Busy(Duration::ZERO);
        }
        let failure = failure.map(|record| record.payload.clone());
        let highest = self.generation.max(self.written);
        self.generation = highest.saturating_add(1).max(least_generation);
        let refresh_token = self.refresh_token.take();
        self.lease = Some(CurrentLease {
            generation: self.generation,
            nonce: acquire.nonce,
            ends_at: after(now, acquire.lease),
            refresh_token: refresh_token.clone(),
        });
        Acquired::Lease(Lease {
            generation: self.generation,
            started: millis_of(now),
            refresh_token: refresh_token.map(|record| {
                let ttl = record.expires_at.saturating_sub(now);
                Stored::new(record.payload, ttl)
            }),
            failure,
        })
    }

    /// Withdraws a call of `acquire`. Returns the generation of the lease that this
    /// ended, if any.
    pub(super) fn withdraw(&mut self, nonce: u64, now: Time) -> Option<u64> {
        self.remove_expired(now);
        if nonce == 0 {
            return None;
        }
        if self.withdrawn.len() >= WITHDRAWALS_KEPT {
            self.withdrawn.remove(0);
        }
        self.withdrawn.push((nonce, after(now, WITHDRAWAL_MEMORY)));
        let lease = self.lease.take_if(|lease| lease.nonce == nonce)?;
        self.refresh_token = self.refresh_token.take().or(lease.refresh_token);
        self.remove_expired(now);
        Some(lease.generation)
    }

    /// Writes the result of a lease. Returns whether it was written.
    pub(super) fn complete(&mut self, completion: &Completion, now: Time) -> bool {
        self.remove_expired(now);
        let generation = completion.generation;
        self.lease.take_if(|lease| lease.generation == generation);
        if generation < self.written {
            return false;
        }
        let start = match completion.started {
            0 => now,
            started => time_of(started).min(now),
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
            self.remove_failure(completion.credentials);
        }
        if let Some(failure) = &completion.failure {
            self.remove_failure(completion.credentials);
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

    fn remove_failure(&mut self, of: u64) {
        self.failures.retain(|(credentials, _)| *credentials != of);
    }

    fn insert_failure(&mut self, credentials: u64, failure: Record) {
        if self.failures.len() >= FAILURES_KEPT {
            let generations = self.failures.iter().map(|(_, failure)| failure.generation);
            let oldest = generations.enumerate().min_by_key(|(_, it)| *it);
            oldest.map(|(n, _)| self.failures.remove(n));
        }
        self.failures.push((credentials, failure));
    }
}

/// Returns the time in milliseconds, from 1: zero stands for an unknown lease.
fn millis_of(time: Time) -> u64 {
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

fn time_of(millis: u64) -> Time {
    Duration::from_millis(millis.saturating_sub(1))
}

/// Longer than any token lives.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

fn after(time: Time, span: Duration) -> Time {
    time.saturating_add(span.min(CENTURY))
}
