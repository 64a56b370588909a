//! What callers see while a token is replaced by the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::endpoint::Endpoint;
use crate::lineup::{Peer, live};
use crate::support::histogram::Histogram;
use crate::support::summary::Summary;
use crate::support::table::{Table, heading};
use crate::{COMMAND, key};

const TASKS: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);
const SPAN: Duration = Duration::from_secs(13);
const DELAY: Duration = Duration::from_millis(500);
/// Nothing but the wait for a token takes this long.
const STALL: Duration = Duration::from_millis(50);

pub(crate) fn rotation(runtime: &Runtime, summary: &mut Summary) {
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
        let seen = runtime.block_on(rotate(peer));
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

struct Seen {
    times: Histogram,
    stalled: u64,
    failed: u64,
    token_requests: u64,
}

async fn rotate(peer: Peer) -> Seen {
    let endpoint = Endpoint::new(peer.rotating_lifetime(), DELAY);
    let stack = Arc::new(peer.build(&endpoint, true).await);
    assert!(stack.send().await, "a first request, which is not counted");
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (stack, stop) = (stack.clone(), stop.clone());
            tokio::spawn(async move {
                let mut times = Histogram::new();
                let (mut stalled, mut failed) = (0, 0);
                while !stop.load(Relaxed) {
                    let began = Instant::now();
                    failed += u64::from(!stack.send().await);
                    let took = began.elapsed();
                    stalled += u64::from(took > STALL);
                    times.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
                    tokio::time::sleep(PAUSE).await;
                }
                (times, stalled, failed)
            })
        })
        .collect();
    tokio::time::sleep(SPAN).await;
    stop.store(true, Relaxed);
    let mut seen = Seen {
        times: Histogram::new(),
        stalled: 0,
        failed: 0,
        token_requests: 0,
    };
    for task in tasks {
        let (times, stalled, failed) = task.await.expect("no panic");
        seen.times.merge(&times);
        seen.stalled += stalled;
        seen.failed += failed;
    }
    seen.token_requests = endpoint.requests();
    seen
}
