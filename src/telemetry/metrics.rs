//! Metrics for the `metrics` facade, named by the rules of Prometheus: base units,
//! `_total` for counters.
//!
//! Each is described where it is recorded, no handle is kept but only keys, and
//! gauges are set to their value instead of being changed by a difference: so all of
//! them are right from the first event on if a recorder is installed late.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use metrics::Unit::{Count, Seconds};
use metrics::{
    Key, Label, Level, Metadata, SharedString, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram, with_recorder,
};

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

/// The gauges of all caches with one label.
#[derive(Debug)]
struct Gauges {
    label: Arc<str>,
    /// Created once, because each waiting caller needs them.
    waiters: Key,
    waits: Key,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    /// How many caches have this label.
    caches: usize,
    /// Briefly negative if a fetch ends while a caller parks.
    waiters: i64,
    /// When the latest token expires, in Unix time.
    expiry: Option<f64>,
}

impl Gauges {
    fn new(label: Arc<str>) -> Self {
        let key = |name| {
            let account = Label::new("account", SharedString::from_shared(label.clone()));
            Key::from_parts(name, vec![account])
        };
        Self {
            waiters: key(WAITERS),
            waits: key(WAIT_SECONDS),
            shown: Mutex::default(),
            label,
        }
    }

    /// Changes the values, and sets the gauges.
    fn change(&self, f: impl FnOnce(&mut Shown)) {
        // Set with the lock held, so that the last value is the latest.
        let mut shown = lock(&self.shown);
        f(&mut shown);
        self.show(&shown);
    }

    fn show(&self, shown: &Shown) {
        self.show_waiters(shown);
        if let Some(expiry) = shown.expiry {
            show_expiry(&self.label, expiry);
        }
    }

    fn change_waiters(&self, by: i64) {
        let mut shown = lock(&self.shown);
        shown.waiters += by;
        self.show_waiters(&shown);
    }

    fn show_waiters(&self, shown: &Shown) {
        describe_gauge!(WAITERS, Count, "Callers waiting for a token");
        let waiters = with_recorder(|it| it.register_gauge(&self.waiters, &METADATA));
        waiters.set(shown.waiters.max(0) as f64);
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

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

static GAUGES: LazyLock<Mutex<HashMap<Arc<str>, Arc<Gauges>>>> = LazyLock::new(Mutex::default);

/// Changes the gauges of a label, and sets them.
fn change(label: &str, f: impl FnOnce(&mut Shown)) {
    let gauges = lock(&GAUGES).get(label).cloned();
    if let Some(gauges) = gauges {
        gauges.change(f);
    }
}

/// The gauges of one cache, which end with the last cache of the label.
#[derive(Debug)]
pub(super) struct CacheGauges(Arc<Gauges>);

impl CacheGauges {
    pub(super) fn begin(label: &Arc<str>) -> Self {
        let mut gauges = lock(&GAUGES);
        let gauges = gauges
            .entry(label.clone())
            .or_insert_with(|| Arc::new(Gauges::new(label.clone())));
        lock(&gauges.shown).caches += 1;
        Self(gauges.clone())
    }

    pub(super) fn wait_began(&self) {
        self.0.change_waiters(1);
    }

    /// Ends the waits of many callers at once, which go on at the same moment.
    pub(super) fn waits_ended(&self, callers: usize) {
        if callers > 0 {
            let callers = i64::try_from(callers).unwrap_or(i64::MAX);
            self.0.change_waiters(-callers);
        }
    }

    pub(super) fn waited(&self, took: impl IntoIterator<Item = Duration>) {
        let mut took = took.into_iter().peekable();
        if took.peek().is_some() {
            describe_histogram!(WAIT_SECONDS, Seconds, "How long callers waited for a token");
            let waits = with_recorder(|it| it.register_histogram(&self.0.waits, &METADATA));
            took.for_each(|took| waits.record(took.as_secs_f64()));
        }
    }
}

impl Drop for CacheGauges {
    fn drop(&mut self) {
        let Self(gauges) = self;
        let mut all = lock(&GAUGES);
        let mut last = lock(&gauges.shown);
        last.caches -= 1;
        if last.caches > 0 {
            return;
        }
        // Not a number: no alert on the expiry time compares true with it, and the
        // facade cannot remove a series.
        if last.expiry.is_some() {
            show_expiry(&gauges.label, f64::NAN);
        }
        if last.waiters > 0 {
            last.waiters = 0;
            last.expiry = None;
            gauges.show(&last);
        }
        all.remove(&gauges.label);
    }
}

pub(super) fn emit(label: &str, event: &Event<'_>) {
    let account = || label.to_owned();
    match event {
        Event::Fetched {
            summary, valid_for, ..
        } => {
            // The expiry time is set once, whereas a remaining time would have to be
            // set again and again.
            let until = valid_for.and_then(|it| SystemTime::now().checked_add(it));
            let until = until.and_then(|it| it.duration_since(SystemTime::UNIX_EPOCH).ok());
            let until = until.map_or(f64::INFINITY, |it| it.as_secs_f64());
            change(label, |gauges| gauges.expiry = Some(until));
            fetched(label, summary, "ok");
        }
        Event::Failed { summary, error } => {
            // Sets the gauges for a recorder that was installed late.
            change(label, |_| {});
            fetched(label, summary, outcome(error));
        }
        Event::Abandoned { reason } => {
            change(label, |_| {});
            count_fetch(label, reason.name(), "abandoned");
        }
        Event::Replayed { replay, .. } => {
            describe_counter!(
                REPLAYS,
                Count,
                "Requests sent a second time after a rejection"
            );
            counter!(REPLAYS, "account" => account(), "outcome" => replay.name()).increment(1);
        }
        Event::RenewalBackedOff { .. } => {
            describe_counter!(
                BACKED_OFF,
                Count,
                "Rejections without a renewal, because recent ones did not help"
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
    let account = label.to_owned();
    describe_counter!(FETCHES, Count, "Token fetches, by reason and outcome");
    counter!(FETCHES, "account" => account, "reason" => reason, "outcome" => outcome).increment(1);
}
