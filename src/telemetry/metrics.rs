//! Metrics for the `metrics` facade, named by the rules of Prometheus: base units,
//! `_total` for counters.

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
const BACKED_OFF: &str = "tower_bearer_renewals_backed_off_total";
const EXPIRY: &str = "tower_bearer_token_expiry_timestamp_seconds";
const STORE_ERRORS: &str = "tower_bearer_store_errors_total";

pub(super) fn emit(label: &str, event: &Event<'_>) {
    let account = || label.to_owned();
    match event {
        Event::Fetched {
            summary, valid_for, ..
        } => {
            fetched(label, summary, "ok");
            // The time of expiry does not change, where the remaining time would
            // have to be set again and again.
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
        Event::RenewalBackedOff { .. } => counter!(BACKED_OFF, "account" => account()).increment(1),
        Event::StoreError { .. } => counter!(STORE_ERRORS, "account" => account()).increment(1),
        Event::RenewalExclusive | Event::StoreRecovered | Event::Revoked { .. } => {}
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

/// Counts a waiting caller, and measures its wait.
#[derive(Debug)]
pub(super) struct WaitTimer {
    label: Arc<str>,
    since: Instant,
}

impl WaitTimer {
    pub(super) fn start(label: &Arc<str>) -> Self {
        gauge!(WAITERS, "account" => label.to_string()).increment(1.0);
        Self {
            label: label.clone(),
            since: Instant::now(),
        }
    }
}

impl Drop for WaitTimer {
    fn drop(&mut self) {
        let account = self.label.to_string();
        gauge!(WAITERS, "account" => account.clone()).decrement(1.0);
        histogram!(WAIT_SECONDS, "account" => account).record(self.since.elapsed().as_secs_f64());
    }
}

/// Describes all metrics. Called for each fetch, because a recorder may be installed
/// at any time.
fn describe() {
    use metrics::Unit::{Count, Seconds};

    describe_counter!(FETCHES, Count, "Token fetches, by reason and outcome");
    describe_histogram!(FETCH_SECONDS, Seconds, "How long token fetches took");
    describe_gauge!(WAITERS, Count, "Callers waiting for a token");
    describe_histogram!(WAIT_SECONDS, Seconds, "How long callers waited for a token");
    describe_counter!(REPLAYS, Count, "Requests sent a second time after a 401");
    describe_counter!(
        BACKED_OFF,
        Count,
        "401s without a renewal, because recent ones did not help"
    );
    describe_gauge!(
        EXPIRY,
        Seconds,
        "When the current token expires, in Unix time"
    );
    describe_counter!(STORE_ERRORS, Count, "Failed calls of the token store");
}
