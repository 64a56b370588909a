//! What requests see while tokens are renewed.
//!
//! Tokens live 2 s and the token endpoint takes 500 ms. A quarter of a token's life
//! is over when it arrives, so it is renewed in time only if it is due earlier than
//! by default: with half of its life left.

#[path = "../support/mod.rs"]
mod support;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::testing::{TokenServer, TokenService};
use tower_bearer::{BearerAuthLayer, NoReplay, Origins, TokenCache};

use crate::support::histogram::Histogram;
use crate::support::plot::Plot;
use crate::support::summary::Summary;
use crate::support::table::{Table, heading};
use crate::watched::{Renewals, Watched};

const ROTATIONS: u64 = 100;
const LIFETIME: Duration = Duration::from_secs(2);
const ENDPOINT_DELAY: Duration = Duration::from_millis(500);
const WORKERS: usize = 2;
/// Should a rotation never come.
const MOST: Duration = Duration::from_secs(300);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(rotate());
}

async fn rotate() {
    let server = TokenServer::builder()
        .access_token_lifetime(LIFETIME)
        .delay(ENDPOINT_DELAY)
        .in_process();
    let renewals = Renewals::new();
    let source = Watched {
        source: server.grant(),
        renewals: renewals.clone(),
    };
    let tokens = TokenCache::builder(source)
        .renew_before(0.5, Duration::from_secs(300))
        .build()
        .expect("a cache");
    let origins = Origins::only([server.api_url()]).expect("an origin");
    // A 401 is to be seen, not to be healed by a replay.
    let layer = BearerAuthLayer::new(tokens.clone(), origins).replay(NoReplay);
    tokens.token().await.expect("a first token");
    let generation = || tokens.status().generation.unwrap_or_default();
    let first = generation();

    let stop = Arc::new(AtomicBool::new(false));
    let url = format!("{}/v1/calls", server.api_url());
    let load: Vec<_> = (0..WORKERS)
        .map(|_| {
            let caller = Caller::new(&layer, server.service());
            tokio::spawn(caller.send(url.clone(), renewals.clone(), stop.clone()))
        })
        .collect();
    let start = Instant::now();
    while generation() < first + ROTATIONS && start.elapsed() < MOST {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, SeqCst);
    let mut seen = Seen::new();
    for caller in load {
        seen.merge(&caller.await.expect("no panic"));
    }
    let rotations = generation() - first;
    report(&seen, rotations, server.token_requests());
}

/// What the requests saw.
struct Seen {
    apart: Histogram,
    overlapping: Histogram,
    stalled: u64,
    failed: u64,
}

impl Seen {
    fn new() -> Self {
        Self {
            apart: Histogram::new(),
            overlapping: Histogram::new(),
            stalled: 0,
            failed: 0,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.apart.merge(&other.apart);
        self.overlapping.merge(&other.overlapping);
        self.stalled += other.stalled;
        self.failed += other.failed;
    }
}

/// The API, and whether it was reached: a call with a live token reaches it at
/// once, one that has to wait for a token does not.
#[derive(Clone)]
struct Api {
    service: TokenService,
    reached: Arc<AtomicBool>,
}

impl Service<Request<Full<Bytes>>> for Api {
    type Response = <TokenService as Service<Request<Full<Bytes>>>>::Response;
    type Error = <TokenService as Service<Request<Full<Bytes>>>>::Error;
    type Future = <TokenService as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<Full<Bytes>>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.reached.store(true, Relaxed);
        self.service.call(request)
    }
}

struct Caller {
    service: tower_bearer::BearerAuth<Api, NoReplay>,
    reached: Arc<AtomicBool>,
}

impl Caller {
    fn new(layer: &BearerAuthLayer<NoReplay>, service: TokenService) -> Self {
        let reached = Arc::new(AtomicBool::new(false));
        let api = Api {
            service,
            reached: reached.clone(),
        };
        Self {
            service: layer.layer(api),
            reached,
        }
    }

    async fn send(mut self, url: String, renewals: Renewals, stop: Arc<AtomicBool>) -> Seen {
        let mut seen = Seen::new();
        while !stop.load(Relaxed) {
            let request = Request::get(&url)
                .body(Full::new(Bytes::new()))
                .expect("a valid request");
            self.reached.store(false, Relaxed);
            let began = Instant::now();
            let ready = self.service.ready().await.expect("ready");
            let answer = ready.call(request);
            let stalled = !self.reached.load(Relaxed);
            let answer = answer.await;
            let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            seen.stalled += u64::from(stalled);
            seen.failed += u64::from(!answer.is_ok_and(|answer| answer.status().is_success()));
            if renewals.overlap(began) {
                seen.overlapping.add(took);
            } else {
                seen.apart.add(took);
            }
            // The renewal needs its turn on these workers too.
            tokio::task::yield_now().await;
        }
        seen
    }
}

fn report(seen: &Seen, rotations: u64, token_requests: u64) {
    heading("Rotation", "cargo bench --bench rotation");
    println!(
        "Latency in microseconds. Tokens live {LIFETIME:?} and are due with half of that left, the \
         token endpoint takes {ENDPOINT_DELAY:?}, and {WORKERS} workers send without a pause.\n"
    );
    const QUANTILES: [(&str, f64); 4] = [
        ("p50", 0.5),
        ("p99", 0.99),
        ("p99.9", 0.999),
        ("p99.99", 0.9999),
    ];
    let mut head = vec!["requests", "count"];
    head.extend(QUANTILES.map(|(name, _)| name));
    head.push("max");
    let mut table = Table::new(&head);
    let mut summary = Summary::new("rotation");
    let mut lines = Vec::new();
    let micros = |nanos: u64| nanos as f64 / 1000.0;
    for (name, key, times) in [
        ("overlapping a renewal", "overlapping", &seen.overlapping),
        ("not overlapping one", "apart", &seen.apart),
    ] {
        let mut row = vec![name.to_owned(), times.count().to_string()];
        let mut line = Vec::new();
        for (quantile, share) in QUANTILES {
            let value = micros(times.quantile(share));
            summary.number(format!("{key}_{}_us", quantile.replace('.', "_")), value);
            row.push(format!("{value:.2}"));
            line.push(value);
        }
        row.push(format!("{:.2}", micros(times.max())));
        line.push(micros(times.max()));
        table.row(&row);
        lines.push((name.to_owned(), line));
    }
    table.print();
    let mut ticks: Vec<String> = QUANTILES.map(|(name, _)| name.to_owned()).to_vec();
    ticks.push("max".to_owned());
    Plot {
        title: "Rotation: latency of a request, during a renewal and apart from one",
        x: "percentile",
        y: "microseconds",
        ticks,
        log: true,
        lines,
    }
    .write("rotation.svg");
    let requests = seen.apart.count() + seen.overlapping.count();
    let Seen {
        stalled, failed, ..
    } = seen;
    for (key, value) in [
        ("requests", requests),
        ("rotations", rotations),
        ("token_requests", token_requests),
        ("stalled", *stalled),
        ("failed", *failed),
    ] {
        summary.number(key, value as f64);
    }
    summary.write();
    println!(
        "requests: {requests}  rotations: {rotations}  token requests: {token_requests}  \
         stalled: {stalled}  failed: {failed}"
    );
}
