//! Events as the `metrics` facade counts them, by the naming rules of
//! Prometheus: base units, `_total` for counters.

use std::sync::Arc;
use std::time::SystemTime;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;

use crate::telemetry::event::{Event, FetchSummary, outcome};

const FETCHES: &str = "tower_bearer_fetches_total";
const FETCH_SECONDS: &str = "tower_bearer_fetch_duration_seconds";
const WAITERS: &str = "tower_bearer_waiters";
const WAIT_SECONDS: &str = "tower_bearer_wait_duration_seconds";
const REPLAYS: &str = "tower_bearer_replays_total";
const HELD_BACK: &str = "tower_bearer_renewals_held_back_total";
const EXPIRY: &str = "tower_bearer_token_expiry_timestamp_seconds";
const STORE_FAULTS: &str = "tower_bearer_store_faults_total";

pub(super) fn emit(label: &str, event: &Event<'_>) {
    let account = || label.to_owned();
    match event {
        Event::Fetched {
            summary, valid_for, ..
        } => {
            fetched(label, summary, "ok");
            // The time and not what is left of it, which would have to be
            // counted down.
            let until = valid_for.and_then(|it| SystemTime::now().checked_add(it));
            let until = until.and_then(|it| it.duration_since(SystemTime::UNIX_EPOCH).ok());
            let until = until.map_or(f64::INFINITY, |it| it.as_secs_f64());
            gauge!(EXPIRY, "account" => account()).set(until);
        }
        Event::Failed { summary, error } => fetched(label, summary, outcome(error)),
        Event::Abandoned { reason } => {
            count_fetch(label, reason.name(), "abandoned");
        }
        Event::Replayed { replay, .. } => {
            counter!(REPLAYS, "account" => account(), "outcome" => replay.name()).increment(1);
        }
        Event::RenewalBackedOff { .. } => counter!(HELD_BACK, "account" => account()).increment(1),
        Event::StoreFault { .. } => counter!(STORE_FAULTS, "account" => account()).increment(1),
        Event::StoreBack | Event::Revoked { .. } => {}
    }
}

fn fetched(label: &str, summary: &FetchSummary, outcome: &'static str) {
    count_fetch(label, summary.reason.name(), outcome);
    let account = label.to_owned();
    histogram!(FETCH_SECONDS, "account" => account, "outcome" => outcome)
        .record(summary.took.as_secs_f64());
}

fn count_fetch(label: &str, reason: &'static str, outcome: &'static str) {
    describe();
    let account = label.to_owned();
    counter!(FETCHES, "account" => account, "reason" => reason, "outcome" => outcome).increment(1);
}

/// One caller who waits.
#[derive(Debug)]
pub(super) struct Waiting {
    label: Arc<str>,
    since: Instant,
}

impl Waiting {
    pub(super) fn begin(label: &Arc<str>) -> Self {
        gauge!(WAITERS, "account" => label.to_string()).increment(1.0);
        Self {
            label: label.clone(),
            since: Instant::now(),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let account = self.label.to_string();
        gauge!(WAITERS, "account" => account.clone()).decrement(1.0);
        histogram!(WAIT_SECONDS, "account" => account).record(self.since.elapsed().as_secs_f64());
    }
}

/// At each fetch, for a recorder may be installed at any time.
fn describe() {
    use metrics::Unit::{Count, Seconds};

    describe_counter!(FETCHES, Count, "Token fetches, by reason and outcome");
    describe_histogram!(FETCH_SECONDS, Seconds, "How long token fetches took");
    describe_gauge!(WAITERS, Count, "Callers who wait for a token");
    describe_histogram!(WAIT_SECONDS, Seconds, "How long callers waited for a token");
    describe_counter!(REPLAYS, Count, "Requests sent a second time after a 401");
    describe_counter!(HELD_BACK, Count, "401s that led to no renewal");
    describe_gauge!(EXPIRY, Seconds, "When the token in use ends, in Unix time");
    describe_counter!(
        STORE_FAULTS,
        Count,
        "Times the token store could not be asked"
    );
}
