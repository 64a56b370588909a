//! Failures that the processes of a fleet share.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::codec::{self, SharedFailure};
use crate::cache::credentials::CredentialMemory;
use crate::cache::failures::{About, FailureCounts, about, classify};
use crate::cache::fleet_store::LONGEST;
use crate::cache::in_flight::FetchResult;
use crate::cache::shared::Shared;
use crate::error::TokenError;
use crate::store::{Acquire, Entry};
use crate::telemetry::FetchedBy;

impl Shared {
    /// Returns the failure to share with the fleet, and the credentials that it
    /// concerns.
    pub(super) fn shared_failure(
        &self,
        error: &TokenError,
        fetched: &FetchResult,
    ) -> (u64, SharedFailure) {
        let others = self.with_state(|state, _| state.failures.counts());
        let error = error.clone();
        match &fetched.memory {
            Some(memory) => (
                // The fleet knows them by the source's fingerprint; a number that this
                // process uses instead of it says nothing to others.
                match self.source.fingerprint() {
                    shared if shared != self.credentials().credentials => shared,
                    _ => memory.fingerprint(),
                },
                SharedFailure {
                    error,
                    of_credentials: true,
                    credentials: memory.with_failures(|failures| failures.counts()),
                    others,
                },
            ),
            None => {
                let class = classify(&error);
                let failure = SharedFailure {
                    error,
                    of_credentials: false,
                    credentials: CredentialMemory::counts(self.credentials().credentials),
                    others: others.with(class),
                };
                (self.source.fingerprint(), failure)
            }
        }
    }

    /// Returns another process's failure, which this one remembers like its own.
    pub(super) fn failure_from_store(
        &self,
        entry: &Entry,
        acquire: Acquire,
    ) -> Option<FetchResult> {
        let failure = codec::decode_failure(&entry.payload)?;
        let ttl = entry.ttl.min(LONGEST);
        let memory = self.adopt_failure(&failure, acquire.credentials, ttl);
        let now = self.settings.clock.now();
        let blocking = memory.as_ref().and_then(|it| it.blocking(now.monotonic));
        let error = blocking.unwrap_or_else(|| failure.error.with_retry_after(Some(ttl)));
        Some(FetchResult {
            by: FetchedBy::Store,
            pause: error.retry_after(),
            memory,
            from_memory: true,
            ..FetchResult::new(Err(error), now)
        })
    }

    /// Remembers a failure of these credentials for this long, as the process that
    /// met it does. Returns the memory, if it is not only this cache's.
    pub(super) fn adopt_failure(
        &self,
        failure: &SharedFailure,
        credentials: u64,
        ttl: Duration,
    ) -> Option<Arc<CredentialMemory>> {
        let none = FailureCounts::default();
        let (error, of_credentials) = (&failure.error, failure.of_credentials);
        let now = self.settings.clock.now().monotonic;
        let until = |holds: bool| if holds { now + ttl } else { now };
        if !of_credentials || failure.others != none {
            self.with_state(|state, _| {
                let until = until(!of_credentials);
                state.failures.adopt(error, failure.others, until);
            });
        }
        if !of_credentials && failure.credentials == none {
            return None;
        }
        let credentials = match credentials {
            shared if shared == self.source.fingerprint() => {
                let about = of_credentials.then(|| about(error, self.source.may_lock()));
                let about = about.flatten().unwrap_or(About::Credentials);
                self.credentials().of(about)
            }
            others => others,
        };
        let counts = failure.credentials;
        let memory = CredentialMemory::adopt(credentials, error, counts, until(of_credentials));
        of_credentials.then_some(memory)
    }
}
