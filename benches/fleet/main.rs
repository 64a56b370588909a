//! A renewal through Redis, as seen by fifty processes with one account.
//!
//! Needs a redis-server: the one that `TOWER_BEARER_REDIS_SERVER` names, or one in
//! the path. It is started on a free port.

mod member;
mod redis;
#[path = "../support/mod.rs"]
mod support;

use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use tokio::runtime::Builder;
use tower_bearer::testing::TokenServer;

use crate::member::{Report, Setup, nanos};
use crate::redis::Redis;
use crate::support::histogram::Histogram;
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

const PROCESSES: usize = 50;
const SPAN: Duration = Duration::from_secs(60);
/// Until all processes are there.
const BEFORE: Duration = Duration::from_secs(15);
/// From the first requests on, which wait for the first token, until they count.
const WARM: Duration = Duration::from_secs(3);
const LIFETIME: Duration = Duration::from_secs(8);
const DELAY: Duration = Duration::from_secs(1);
/// What belongs to a renewal besides its token request: the lease before it, and the
/// other processes that take the token over.
const AROUND: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];
/// p99.9 of requests that overlap a renewal over those that do not.
const TARGET: f64 = 1.1;

fn main() {
    if member::run_if_started() {
        return;
    }
    let redis = Redis::start();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let server = TokenServer::builder()
        .rotate_refresh_tokens(true)
        .access_token_lifetime(LIFETIME)
        .delay(DELAY);
    let server = runtime.block_on(server.start()).expect("a server");
    let start = nanos(SystemTime::now() + BEFORE);
    let setup = |number: usize| Setup {
        redis: redis.url(),
        token_url: server.token_url().to_owned(),
        api_url: server.api_url().to_owned(),
        username: server.username().to_owned(),
        password: server.password(),
        start,
        span: SPAN,
        report: redis.folder().join(format!("{number}.report")),
    };
    let this = std::env::current_exe().expect("this program");
    let members: Vec<(Setup, Child)> = (0..PROCESSES)
        .map(|number| {
            let setup = setup(number);
            let (variable, value) = setup.variable();
            let child = Command::new(&this).env(variable, value).spawn();
            (setup, child.expect("it starts"))
        })
        .collect();
    let mut all = Report::default();
    for (setup, mut child) in members {
        assert!(child.wait().expect("it ends").success());
        all.add(Report::read(&setup.report));
    }
    show(&all, start, server.token_requests());
}

fn show(all: &Report, start: u64, token_requests: u64) {
    let from = start + WARM.as_nanos() as u64;
    let [before, after] = AROUND.map(|span| span.as_nanos() as u64);
    let renewals: Vec<(u64, u64)> = all
        .token_requests
        .iter()
        .map(|(began, ended)| (began - before, ended + after))
        .collect();
    let (mut overlapping, mut apart) = (Histogram::new(), Histogram::new());
    let mut taking_over = Histogram::new();
    for (began, took) in &all.requests {
        let (began, ended) = (*began, began + took);
        if began < from {
            continue;
        }
        let overlaps = |start: u64, end: u64| began < end && ended > start;
        let times = match renewals.iter().any(|(start, end)| overlaps(*start, *end)) {
            true => &mut overlapping,
            false => &mut apart,
        };
        times.add(*took);
        if renewals.iter().any(|(_, end)| overlaps(end - after, *end)) {
            taking_over.add(*took);
        }
    }
    heading(
        "A renewal through Redis",
        "cargo bench --bench fleet --features redis",
    );
    println!(
        "Latency in microseconds. {PROCESSES} processes with one account call an API on loopback \
         for {SPAN:?}; tokens live {LIFETIME:?} and are due with half of that left; the token \
         endpoint takes {DELAY:?}.\n"
    );
    let mut table = Table::new(&["requests", "count", "p50", "p99", "p99.9", "max"]);
    let micros = |nanos: u64| nanos as f64 / 1000.0;
    for (name, times) in [
        ("overlapping a renewal", &overlapping),
        (
            "of these, while the other processes take the token",
            &taking_over,
        ),
        ("not overlapping one", &apart),
    ] {
        let quantiles = [0.5, 0.99, 0.999].map(|share| micros(times.quantile(share)));
        let [p50, p99, p999] = quantiles.map(|value| format!("{value:.0}"));
        let (count, max) = (times.count().to_string(), micros(times.max()));
        table.row(&[name.to_owned(), count, p50, p99, p999, format!("{max:.0}")]);
    }
    table.print();
    let ratio = |share| overlapping.quantile(share) as f64 / apart.quantile(share) as f64;
    let tokens = all.tokens.len();
    let each = token_requests as f64 / tokens as f64;
    let mut table = Table::new(&["what", "measured", "target", ""]);
    for (what, figure, target) in [
        ("token requests per token", each, 1.0),
        ("p99.9, overlapping / not overlapping", ratio(0.999), TARGET),
    ] {
        let met = verdict(figure <= target);
        table.row(&[what, &format!("{figure:.2}"), &target.to_string(), met]);
    }
    table.print();
    let mut summary = Summary::new("fleet");
    summary.number("token_requests_per_renewal", each);
    summary.number("p99_9_ratio", ratio(0.999));
    summary.number("p99_ratio", ratio(0.99));
    summary.number("p50_ratio", ratio(0.5));
    summary.number("failed", all.failed as f64);
    summary.write();
    println!(
        "processes: {PROCESSES}  tokens: {tokens}  token requests: {token_requests}  requests: {}  failed: {}",
        all.requests.len(),
        all.failed
    );
}
