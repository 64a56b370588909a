//! Metrics for the `metrics` facade, named by the rules of Prometheus: base units,
//! `_total` for counters.
//!
//! Each is described where it is recorded and no handle is kept, and gauges are set
//! to what they are, not changed by a difference: so all of them are right from the
//! first event on when a recorder is installed late.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use metrics::Unit::{Count, Seconds};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::sync::lock;
use crate::telemetry::event::{Event, FetchSummary, outcome};

const FETCHES: &str = "tower_bearer_fetches_total";
const FETCH_SECONDS: &str = "tower_bearer_fetch_duration_seconds";
const WAITERS: &str = "tower_bearer_waiters";
const WAIT_SECONDS: &str = "tower_bearer_wait_duration_seconds";
const REPLAYS: &str = "tower_bearer_replays_total";
const BACKED_OFF: &str = "tower_bearer_renewals_backed_off_total";
const EXPIRY: &str = "tower_bearer_token_expiry_timestamp_seconds";
const STORE_ERRORS: &str = "tower_bearer_store_errors_total";

/// What the gauges of a label say.
#[derive(Default)]
struct Gauges {
    /// The caches with this label.
    caches: usize,
    waiters: u32,
    /// When the token that came last expires, in Unix time.
    expiry: Option<f64>,
}

impl Gauges {
    fn show(&self, label: &str) {
        describe_gauge!(WAITERS, Count, "Callers waiting for a token");
        gauge!(WAITERS, "account" => label.to_owned()).set(self.waiters);
        if let Some(expiry) = self.expiry {
            show_expiry(label, expiry);
        }
    }
}

fn show_expiry(label: &str, expiry: f64) {
    describe_gauge!(
        EXPIRY,
        Seconds,
        "When the token that was fetched last expires, in Unix time"
    );
    gauge!(EXPIRY, "account" => label.to_owned()).set(expiry);
}

static GAUGES: LazyLock<Mutex<HashMap<Arc<str>, Gauges>>> = LazyLock::new(Mutex::default);

/// Changes the gauges of a label, and shows them.
fn change(label: &str, f: impl FnOnce(&mut Gauges)) {
    // Shown with the lock held, so that what is shown last is the latest.
    let mut gauges = lock(&GAUGES);
    if let Some(gauges) = gauges.get_mut(label) {
        f(gauges);
        gauges.show(label);
    }
}

/// The gauges of one cache, which end with the last cache of their label.
#[derive(Debug)]
pub(super) struct CacheGauges(Arc<str>);

impl CacheGauges {
    pub(super) fn begin(label: &Arc<str>) -> Self {
        lock(&GAUGES).entry(label.clone()).or_default().caches += 1;
        Self(label.clone())
    }
}

impl Drop for CacheGauges {
    fn drop(&mut self) {
        let Self(label) = self;
        let mut gauges = lock(&GAUGES);
        let Some(last) = gauges.get_mut(label) else {
            return;
        };
        last.caches -= 1;
        if last.caches > 0 {
            return;
        }
        // Not a number: no alert on a time of expiry compares with it, and the facade
        // has no way to remove a series.
        if last.expiry.is_some() {
            show_expiry(label, f64::NAN);
        }
        if last.waiters > 0 {
            last.waiters = 0;
            last.expiry = None;
            last.show(label);
        }
        gauges.remove(label);
    }
}

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
            change(label, |gauges| gauges.expiry = Some(until));
        }
        Event::Failed { summary, error } => fetched(label, summary, outcome(error)),
        Event::Abandoned { reason } => {
            count_fetch(label, reason.name(), "abandoned");
        }
        Event::Replayed { replay, .. } => {
            describe_counter!(REPLAYS, Count, "Requests sent a second time after a 401");
            counter!(REPLAYS, "account" => account(), "outcome" => replay.name()).increment(1);
        }
        Event::RenewalBackedOff { .. } => {
            describe_counter!(
                BACKED_OFF,
                Count,
                "401s without a renewal, because recent ones did not help"
            );
            counter!(BACKED_OFF, "account" => account()).increment(1);
        }
        Event::StoreError { .. } => {
            describe_counter!(STORE_ERRORS, Count, "Failed calls of the token store");
            counter!(STORE_ERRORS, "account" => account()).increment(1);
        }
        Event::LifetimeUnreadable { .. }
        | Event::RenewalExclusive
        | Event::StoreRecovered
        | Event::StoreWarning { .. }
        | Event::Revoked { .. } => {}
    }
}

fn fetched(label: &str, summary: &FetchSummary, outcome: &'static str) {
    count_fetch(label, summary.reason.name(), outcome);
    let account = label.to_owned();
    describe_histogram!(FETCH_SECONDS, Seconds, "How long token fetches took");
    histogram!(FETCH_SECONDS, "account" => account, "outcome" => outcome)
        .record(summary.took.as_secs_f64());
}

fn count_fetch(label: &str, reason: &'static str, outcome: &'static str) {
    // Shows what a recorder that was installed late has not seen.
    change(label, |_| {});
    let account = label.to_owned();
    describe_counter!(FETCHES, Count, "Token fetches, by reason and outcome");
    counter!(FETCHES, "account" => account, "reason" => reason, "outcome" => outcome).increment(1);
}

/// Counts a waiting caller.
pub(super) fn wait_began(label: &str) {
    change(label, |gauges| gauges.waiters += 1);
}

/// Counts it no longer, and records its wait.
pub(super) fn wait_ended(label: &str, took: Duration) {
    change(label, |gauges| {
        gauges.waiters = gauges.waiters.saturating_sub(1);
    });
    let account = label.to_owned();
    describe_histogram!(WAIT_SECONDS, Seconds, "How long callers waited for a token");
    histogram!(WAIT_SECONDS, "account" => account).record(took.as_secs_f64());
}
