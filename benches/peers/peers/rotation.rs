//! What callers see while a token is replaced by the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;
use crate::lineup::Peer;
use crate::support::histogram::Histogram;

const TASKS: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);
const SPAN: Duration = Duration::from_secs(13);
const DELAY: Duration = Duration::from_millis(500);
/// Nothing but the wait for a token takes this long.
const STALL: Duration = Duration::from_millis(50);

pub(crate) struct Seen {
    pub(crate) times: Histogram,
    pub(crate) stalled: u64,
    pub(crate) failed: u64,
    pub(crate) token_requests: u64,
}

pub(crate) async fn rotate(peer: Peer) -> Seen {
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
