//! The alternatives that a user has, in one run: hot path, cold herd, rotation.

mod api;
mod aws;
mod azure;
mod endpoint;
mod lineup;
mod rotation;
#[path = "../../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::endpoint::Endpoint;
use crate::lineup::{ALL, Peer, live};
use crate::support::drive::{Pattern, Stack, run_within};
use crate::support::rounds::{Spread, interleave};
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

const COMMAND: &str = "cargo bench --manifest-path benches/peers/Cargo.toml";
const LONG: Duration = Duration::from_secs(3000);
const REQUESTS: usize = 32_000;
/// More than elsewhere: with 2 threads, whatever else runs here takes a core.
const ROUNDS: usize = 31;
const CALLERS: usize = 10_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    run_within(runtime.handle().clone());
    let mut summary = Summary::new("peers");
    hot_path(&runtime, &mut summary);
    herd(&runtime, &mut summary);
    rotation(&runtime, &mut summary);
    summary.write();
}

fn key(peer: Peer, what: &str) -> String {
    let peer = format!("{peer:?}").to_ascii_lowercase();
    format!("{peer}_{what}")
}

fn hot_path(runtime: &Runtime, summary: &mut Summary) {
    let endpoint = Endpoint::new(LONG, Duration::ZERO);
    let stacks: Vec<Box<dyn Stack>> = runtime.block_on(async {
        let mut stacks = Vec::new();
        for peer in ALL {
            let stack = peer.build(&endpoint, false).await;
            assert!(stack.send().await, "{}", peer.name());
            stacks.push(stack);
        }
        stacks
    });
    let at = |peer| {
        ALL.iter()
            .position(|other| *other == peer)
            .expect("one of all")
    };
    let series = [1, 2].map(|threads| {
        let mut measures: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
        for stack in &stacks {
            measures.push(Box::new(move || {
                stack.time(Pattern::Kept(threads), REQUESTS)
            }));
        }
        interleave(ROUNDS, &mut measures)
    });
    heading("Peers: hot path", COMMAND);
    println!(
        "Nanoseconds for each request over the same stack without a token: medians of {ROUNDS} \
         interleaved rounds with their quartiles. The ratio is to tower-bearer's cost by medians; \
         the targets are 5 at 1 thread and 8 at 2.\n"
    );
    let mut table = Table::new(&[
        "peer",
        "driven by",
        "1 thread",
        "times ours",
        "2 threads",
        "times ours",
        "target 5 and 8",
    ]);
    for peer in ALL {
        if peer.base() == peer {
            let [one, two] = series.each_ref().map(|series| series.of(at(peer)).show(0));
            let name = format!("{}: all of its time", peer.name());
            table.row(&[&*name, "", &*one, "", &*two, "", ""]);
            continue;
        }
        let mut row = vec![peer.name().to_owned(), peer.wrapping().to_owned()];
        let mut met = Some(true);
        for ((series, target), threads) in series.iter().zip([5.0, 8.0]).zip([1, 2]) {
            let cost = |peer: Peer| series.difference(at(peer), at(peer.base()));
            let (theirs, ours) = (cost(peer), cost(Peer::TowerBearer));
            // A ratio to what may as well be nothing says nothing.
            let times = (ours.low > 0.0).then(|| theirs.median / ours.median);
            met = met.zip(times).map(|(met, times)| met && times >= target);
            let shown = times.map_or("too noisy".to_owned(), |times| format!("{times:.1}"));
            row.extend([theirs.show(0), shown]);
            summary.number(key(peer, &format!("{threads}_thread_ns")), theirs.median);
            summary.number(key(peer, &format!("{threads}_thread_times_ours")), times);
        }
        let said = match peer {
            Peer::Constant | Peer::Wrapper => "no live token",
            Peer::OnceCell => "never renews",
            Peer::TowerBearer => "",
            _ => met.map_or("too noisy", verdict),
        };
        row.push(said.to_owned());
        table.row(&row);
    }
    table.print();
}

fn herd(runtime: &Runtime, summary: &mut Summary) {
    const DELAY: Duration = Duration::from_millis(100);
    const HERDS: usize = 5;
    heading("Peers: cold herd", COMMAND);
    println!(
        "{CALLERS} cold callers at once; the token endpoint takes {DELAY:?}, which is taken off \
         the time until the last caller has its answer. Medians of {HERDS} herds with quartiles.\n"
    );
    let mut table = Table::new(&["peer", "token requests", "failed", "ms over the fetch"]);
    for peer in live() {
        let (mut times, mut most, mut failures) = (Vec::new(), 0, 0);
        for _ in 0..HERDS {
            let endpoint = Endpoint::new(LONG, DELAY);
            let (time, failed) = runtime.block_on(async {
                let stack: Arc<Box<dyn Stack>> = Arc::new(peer.build(&endpoint, false).await);
                let from = Instant::now();
                let callers: Vec<_> = (0..CALLERS)
                    .map(|_| {
                        let stack = stack.clone();
                        tokio::spawn(async move { stack.send().await })
                    })
                    .collect();
                let mut failed = 0;
                for caller in callers {
                    failed += usize::from(!caller.await.expect("no panic"));
                }
                (from.elapsed().saturating_sub(DELAY), failed)
            });
            times.push(time.as_secs_f64() * 1000.0);
            most = endpoint.requests().max(most);
            failures += failed;
        }
        let times = Spread::new(times);
        let row = [most.to_string(), failures.to_string(), times.show(1)];
        table.row(&[vec![peer.name().to_owned()], row.to_vec()].concat());
        summary.number(key(peer, "herd_token_requests"), most as f64);
        summary.number(key(peer, "herd_ms"), times.median);
    }
    table.print();
}

fn rotation(runtime: &Runtime, summary: &mut Summary) {
    heading("Peers: rotation", COMMAND);
    println!(
        "32 callers with a pause of 2 ms, 13 s each; the token endpoint takes 500 ms. Lifetimes \
         differ, so that each renews within the time by its own rules. Stalled: over 50 ms. \
         Failed: an error, or a token that the API found expired. Each starts warm and has its \
         defaults, but for cf-gears-toolkit-auth: it renews 2 s early, at most once a second.\n"
    );
    let mut table = Table::new(&[
        "peer",
        "token lives, s",
        "requests",
        "token requests",
        "p50, us",
        "p99.9, us",
        "max, ms",
        "stalled",
        "failed",
    ]);
    for peer in live() {
        let seen = runtime.block_on(rotation::rotate(peer));
        let times = &seen.times;
        table.row(&[
            peer.name().to_owned(),
            peer.rotating_lifetime().as_secs().to_string(),
            times.count().to_string(),
            seen.token_requests.to_string(),
            format!("{:.1}", times.quantile(0.5) as f64 / 1e3),
            format!("{:.1}", times.quantile(0.999) as f64 / 1e3),
            format!("{:.1}", times.max() as f64 / 1e6),
            seen.stalled.to_string(),
            seen.failed.to_string(),
        ]);
        summary.number(key(peer, "rotation_max_ms"), times.max() as f64 / 1e6);
        summary.number(key(peer, "rotation_stalled"), seen.stalled as f64);
        summary.number(key(peer, "rotation_failed"), seen.failed as f64);
    }
    table.print();
}
