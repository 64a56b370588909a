//! Events, spans and metrics: stable names and fields, no secret.

#![cfg(all(feature = "testing", feature = "tracing", feature = "metrics"))]

#[path = "../common/mod.rs"]
mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;

use http::StatusCode;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::sleep;
use tracing_subscriber::fmt::format::FmtSpan;

use common::{api, call, secs, served};
use tower_bearer::TokenCache;
use tower_bearer::testing::{MockResponse, TokenServer, TokenServerBuilder};

fn slow_server() -> TokenServerBuilder {
    TokenServer::builder().delay(secs(1))
}

/// Runs with paused time, on this thread.
fn run_paused(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(work);
}

thread_local! {
    /// What was logged on this thread, and so in this test.
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that this crate logged during that work, without their times.
fn log_of(work: impl Future<Output = ()>) -> Vec<String> {
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
        .with_ansi(false)
        .without_time()
        .with_writer(|| LogWriter)
        .try_init();
    run_paused(work);
    let text = String::from_utf8(LOGGED.take()).expect("text");
    assert!(!text.contains("pw") && !text.contains("Bearer"), "{text}");
    let ours = text.lines().filter(|line| line.contains("tower_bearer"));
    ours.map(|line| line.trim().to_owned()).collect()
}

#[track_caller]
fn assert_one(lines: &[String], parts: &[&str]) {
    let found = lines
        .iter()
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .count();
    assert_eq!(found, 1, "{parts:?} in {lines:#?}");
}

#[test]
fn a_fetch_and_each_wait_for_it_are_spans() {
    let lines = log_of(async {
        let (server, _) = served(slow_server());
        let tokens = TokenCache::builder(server.grant())
            .label("voipex")
            .build()
            .expect("valid");
        let callers: Vec<_> = (0..3)
            .map(|_| tokio::spawn(call_once(&server, &tokens)))
            .collect();
        for caller in callers {
            caller.await.expect("no panic");
        }
    });
    assert_one(
        &lines,
        &[
            "tower_bearer.fetch{account=\"voipex\" reason=\"cold\"}",
            "new",
        ],
    );
    assert_one(
        &lines,
        &[
            "tower_bearer.fetch{",
            "outcome=\"ok\"",
            "waiters=3",
            "generation=1",
            "close",
        ],
    );
    assert_one(
        &lines,
        &[
            "DEBUG",
            "token fetched account=\"voipex\" generation=1 reason=\"cold\" by=\"credentials\"",
            "took_ms=1000 waiters=3 valid_for_s=2990",
        ],
    );
    let waits = lines
        .iter()
        .filter(|line| line.contains("tower_bearer.wait{account=\"voipex\"}"));
    assert_eq!(waits.count(), 6, "three new, three closed: {lines:#?}");
}

fn call_once(server: &TokenServer, tokens: &TokenCache) -> impl Future<Output = u16> + use<> {
    let api = api(server, tokens);
    async move { call(&api).await.0 }
}

#[test]
fn each_reason_has_its_name() {
    let lines = log_of(async {
        let (server, tokens) = served(slow_server());
        call_once(&server, &tokens).await;
        sleep(secs(2800)).await;
        call_once(&server, &tokens).await;
        sleep(secs(5000)).await;
        call_once(&server, &tokens).await;
        server.revoke_access_tokens();
        call_once(&server, &tokens).await;
        tokens.invalidate();
        call_once(&server, &tokens).await;
        sleep(secs(1000)).await;
        tokens.token_valid_for(secs(2500)).await.expect("a token");
    });
    for reason in ["cold", "due", "expired", "rejected", "invalidated", "short"] {
        assert_one(&lines, &["token fetched", &format!("reason=\"{reason}\"")]);
    }
    assert_one(
        &lines,
        &[
            "request sent again after a rejection",
            "outcome=\"accepted\"",
        ],
    );
}

#[test]
fn a_refusal_is_an_error_and_a_transient_failure_a_warning() {
    let lines = log_of(async {
        let (server, tokens) = served(slow_server());
        server
            .token_endpoint()
            .enqueue([MockResponse::status(StatusCode::TOO_MANY_REQUESTS).retry_after("7")]);
        tokens.token().await.expect_err("away");
        sleep(secs(10)).await;
        server.disable_user("me");
        tokens.token().await.expect_err("refused");
    });
    assert_one(
        &lines,
        &[
            "WARN",
            "token fetch failed",
            "status=429",
            "retry_after_ms=7000",
        ],
    );
    assert_one(
        &lines,
        &[
            "ERROR",
            "token refused",
            "status=400",
            "oauth_error=\"invalid_grant\"",
            "retry_after_ms=",
        ],
    );
    let refused = lines.iter().find(|line| line.contains("token refused"));
    let pause = refused.and_then(|line| line.split_once("retry_after_ms="));
    let digits = |text: &str| {
        text.split(|c: char| !c.is_ascii_digit())
            .next()
            .map(str::parse)
    };
    let pause: u64 = pause
        .and_then(|(_, rest)| digits(rest))
        .expect("a pause")
        .expect("digits");
    assert!((60_000..=75_000).contains(&pause), "{pause}");
}

#[test]
fn a_lifetime_that_cannot_be_read_is_told_and_costs_no_token() {
    for (value, valid_for) in [
        ("\"soon hunter2\"", Some("valid_for_s=")),
        ("0", Some("valid_for_s=")),
        ("-1", Some("valid_for_s=")),
        ("\"3000\"", None),
        ("null", None),
    ] {
        let lines = log_of(async {
            let (server, tokens) = served(TokenServer::builder());
            let odd = MockResponse::default().param("expires_in", value);
            server.token_endpoint().set_default(odd);
            tokens.token().await.expect("a token");
            tokens.token().await.expect("a token");
        });
        let told: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("it counts as not said"))
            .collect();
        assert_eq!(
            told.len(),
            usize::from(valid_for.is_some()),
            "{value}: {told:?}"
        );
        for line in told {
            assert!(line.starts_with("WARN"), "{line}");
            // The server's tokens are JWTs.
            assert!(
                line.contains("valid_for_s=2999") || line.contains("valid_for_s=3000"),
                "{line}"
            );
        }
        assert!(
            !lines.iter().any(|line| line.contains("hunter2")),
            "{value}"
        );
    }
}

#[test]
fn a_description_is_in_no_event() {
    let lines = log_of(async {
        let (server, tokens) = served(TokenServer::builder());
        let body = r#"{"error":"invalid_grant","error_description":"for operators only"}"#;
        let refusal = MockResponse::body(400, "application/json", body);
        server.token_endpoint().enqueue([refusal]);
        let error = tokens.token().await.expect_err("refused");
        assert_eq!(error.description(), Some("for operators only"));
    });
    assert!(!lines.is_empty());
    assert!(
        !lines.iter().any(|line| line.contains("operators")),
        "{lines:#?}"
    );
}

/// The metrics after that work, by name and labels.
fn metrics_of(work: impl Future<Output = ()>) -> BTreeMap<String, DebugValue> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || run_paused(work));
    let mut counted = BTreeMap::new();
    for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        assert!(unit.is_some() && description.is_some(), "{key:?}");
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        counted.insert(format!("{}{{{}}}", key.name(), labels.join(",")), value);
    }
    counted
}

#[test]
fn metrics_follow_the_naming_rules_and_count_what_they_say() {
    let counted = metrics_of(async {
        let (server, _) = served(slow_server());
        // With its own label, because tests run concurrently.
        let tokens = TokenCache::builder(server.grant()).label("named").build();
        let tokens = tokens.expect("valid");
        call_once(&server, &tokens).await;
        server.revoke_access_tokens();
        call_once(&server, &tokens).await;
        server
            .api()
            .set_default(MockResponse::status(StatusCode::UNAUTHORIZED));
        call_once(&server, &tokens).await;
        call_once(&server, &tokens).await;
        server.token_endpoint().set_default(MockResponse::close());
        tokens.invalidate();
        tokens.token().await.expect_err("no connection");
        // Gauges end with their cache.
        std::mem::forget(tokens);
    });
    let value = |key: &str| {
        let found = counted.get(key);
        found.unwrap_or_else(|| panic!("no {key} in {:#?}", counted.keys()))
    };
    let account = "account=named";
    for (key, count) in [
        ("fetches_total{ACC,reason=cold,outcome=ok}", 1),
        ("fetches_total{ACC,reason=rejected,outcome=ok}", 2),
        ("fetches_total{ACC,reason=invalidated,outcome=connect}", 1),
        ("replays_total{ACC,outcome=accepted}", 1),
        ("replays_total{ACC,outcome=rejected}", 1),
        ("renewals_backed_off_total{ACC}", 2),
    ] {
        let key = format!("tower_bearer_{}", key.replace("ACC", account));
        assert_eq!(value(&key), &DebugValue::Counter(count), "{key}");
    }
    let waiters = value("tower_bearer_waiters{account=named}");
    assert_eq!(waiters, &DebugValue::Gauge(0.0.into()));
    match value("tower_bearer_wait_duration_seconds{account=named}") {
        DebugValue::Histogram(waits) => {
            assert_eq!(waits.len(), 4);
            let (last, others) = waits.split_last().expect("four");
            let one = |wait: f64| (0.9..1.1).contains(&wait);
            assert!(others.iter().all(|it| one(it.0)), "{waits:?}");
            // Two attempts with the refresh token, a pause between them, and one
            // with the password.
            assert!((2.9..3.3).contains(&last.0), "{waits:?}");
        }
        other => panic!("{other:?}"),
    }
    match value("tower_bearer_token_expiry_timestamp_seconds{account=named}") {
        DebugValue::Gauge(until) => assert!(until.0 > 1.7e9, "{until}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_reports_tokens_failures_and_the_end() {
    let (server, tokens) = served(slow_server());
    let mut watch = tokens.watch();
    tokens.warm_up().await.expect("a token");
    let status = watch.changed().await.expect("there");
    assert_eq!(
        (status.generation, status.last_error.is_none()),
        (Some(1), true)
    );
    server.disable_user("me");
    server.end_sessions();
    tokens.invalidate();
    tokens.warm_up().await.expect_err("refused");
    let status = watch.changed().await.expect("there");
    assert_eq!(status.generation, None);
    assert!(status.last_error.is_some());
    let ended = tokio::spawn(async move { while watch.changed().await.is_some() {} });
    drop(tokens);
    ended.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_probe_alone_makes_a_program_ready() {
    let (server, tokens) = served(slow_server());
    let error = tokens.ready().expect_err("not yet");
    assert_eq!(error.kind(), tower_bearer::TokenErrorKind::WaitTimeout);
    sleep(secs(2)).await;
    tokens.ready().expect("ready");
    server.disable_user("me");
    server.end_sessions();
    tokens.invalidate();
    tokens.ready().expect_err("fetching");
    sleep(secs(3)).await;
    let error = tokens.ready().expect_err("refused");
    assert_eq!(error.kind(), tower_bearer::TokenErrorKind::Refused);
    assert!(error.retry_after().is_some());
    assert_eq!(server.counts().token_requests, 3);
}

/// The series of the metrics after that work, with their values.
fn series_of(work: impl Future<Output = ()>) -> Vec<(String, String, DebugValue)> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || run_paused(work));
    let series = snapshotter.snapshot().into_vec().into_iter();
    series
        .map(|(key, _, _, value)| {
            let (_, key) = key.into_parts();
            let labels: Vec<_> = key
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            (key.name().to_owned(), labels.join(","), value)
        })
        .collect()
}

#[cfg(feature = "accounts")]
#[test]
fn many_accounts_make_few_series_and_none_is_named_by_its_account() {
    use std::sync::Arc;
    use tower_bearer::{Accounts, BoxError, store::MemoryStore};

    let series = series_of(async {
        let builder = TokenServer::builder();
        let server = (0..1000).fold(builder, |builder, n| {
            builder.user(format!("tenant-{n}"), "pw")
        });
        let server = Arc::new(server.in_process());
        let grants = server.clone();
        let store = MemoryStore::new();
        let accounts = Accounts::builder(move |name: String| {
            let grant = grants.grant_for(name, "pw");
            async { Ok::<_, BoxError>(grant) }
        })
        .settings_for(move |name, cache| cache.store(store.clone(), name))
        .capacity(10)
        .build()
        .expect("settings");
        for n in 0..1000 {
            let tokens = accounts
                .get_or_create(&format!("tenant-{n}"))
                .expect("an account");
            tokens.token().await.expect("a token");
        }
    });
    assert!(series.len() <= 5, "{} series", series.len());
    for (_, labels, _) in &series {
        assert!(labels.starts_with("account=accounts"), "{labels}");
    }
}

#[test]
fn a_cache_with_a_store_does_not_show_its_account() {
    let series = series_of(async {
        let (server, _) = served(TokenServer::builder());
        let store = tower_bearer::store::MemoryStore::new();
        let tokens = TokenCache::builder(server.grant()).store(store, "a-persons-name");
        let tokens = tokens.build().expect("valid");
        tokens.token().await.expect("a token");
    });
    for (name, labels, _) in &series {
        assert!(labels.starts_with("account=default"), "{name} {labels}");
    }
}

#[test]
fn a_gauge_ends_with_the_last_cache_of_its_label() {
    const EXPIRY: &str = "tower_bearer_token_expiry_timestamp_seconds";
    for kept in [true, false] {
        let mut other = None;
        let series = series_of(async {
            let (server, _) = served(TokenServer::builder());
            let label = format!("ends-{kept}");
            let cache = || {
                TokenCache::builder(server.grant())
                    .label(label.as_str())
                    .build()
            };
            let tokens = cache().expect("valid");
            tokens.token().await.expect("a token");
            other = kept.then(|| cache().expect("valid"));
            drop(tokens);
            tokio::task::yield_now().await;
        });
        drop(other);
        let (.., value) = series.iter().find(|it| it.0 == EXPIRY).expect("there");
        match value {
            DebugValue::Gauge(value) => assert_eq!(value.0.is_nan(), !kept, "{value}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_recorder_that_is_installed_late_sees_the_gauges_as_they_are() {
    let (late, waited) = (DebuggingRecorder::new(), DebuggingRecorder::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let (server, _) = served(slow_server());
    let tokens = TokenCache::builder(server.grant()).label("late").build();
    let tokens = tokens.expect("valid");
    // One recorder when two callers begin to wait, another one when they are done.
    let callers = metrics::with_local_recorder(&waited, || {
        runtime.block_on(async {
            let caller = || {
                tokio::spawn({
                    let tokens = tokens.clone();
                    async move { tokens.token().await }
                })
            };
            let callers = [caller(), caller()];
            tokio::task::yield_now().await;
            callers
        })
    });
    metrics::with_local_recorder(&late, || {
        runtime.block_on(async {
            for caller in callers {
                caller.await.expect("no panic").expect("a token");
            }
        });
    });
    let series = late.snapshotter().snapshot().into_vec();
    let gauges: Vec<_> = series
        .iter()
        .filter_map(|(key, unit, description, value)| match value {
            DebugValue::Gauge(value) => {
                assert!(unit.is_some() && description.is_some(), "{key:?}");
                Some((key.key().name(), value.0))
            }
            _ => None,
        })
        .collect();
    assert!(
        gauges.contains(&("tower_bearer_waiters", 0.0)),
        "{gauges:?}"
    );
    assert_eq!(gauges.len(), 2, "{gauges:?}");
}
