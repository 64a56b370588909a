//! What very many callers at once meet who find no live token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::endpoint::Endpoint;
use crate::lineup::{Cold, Peer, live};
use crate::support::drive::Stack;
use crate::support::rounds::Spread;
use crate::support::summary::Summary;
use crate::support::table::{Table, heading};
use crate::{COMMAND, LONG, key};

const CALLERS: usize = 10_000;
const DELAY: Duration = Duration::from_millis(100);
const HERDS: usize = 5;

/// Lives for a second by the rules of a peer that gives up a token 10 s early.
const SHORT: Duration = Duration::from_secs(11);

pub(crate) fn herd(runtime: &Runtime, summary: &mut Summary) {
    heading("Peers: cold herd", COMMAND);
    println!(
        "{CALLERS} callers at once who find no live token; the token endpoint takes {DELAY:?}, \
         which is taken off the time until the last caller has its answer. A peer that fetches a \
         token when it is built is found when that token has expired by its own rules. middle \
         sends an expired token too, so its callers never wait and nothing is taken off. Medians \
         of {HERDS} herds with quartiles; the token requests of the herd that had most.\n"
    );
    let mut table = Table::new(&[
        "peer",
        "found",
        "token requests",
        "failed",
        "ms over the fetch",
    ]);
    for peer in live() {
        let (mut times, mut most, mut failures) = (Vec::new(), 0, 0);
        for _ in 0..HERDS {
            let seen = runtime.block_on(meet(peer));
            times.push(seen.time.as_secs_f64() * 1000.0);
            most = seen.token_requests.max(most);
            failures += seen.failed;
        }
        let times = Spread::new(times);
        let found = match peer.cold() {
            Cold::New => "just built",
            Cold::Expired => "token expired",
            Cold::Never => "with a token",
        };
        table.row(&[
            peer.name().to_owned(),
            found.to_owned(),
            most.to_string(),
            failures.to_string(),
            times.show(1),
        ]);
        summary.number(key(peer, "herd_token_requests"), most as f64);
        summary.number(key(peer, "herd_ms"), times.median);
    }
    table.print();
}

struct Seen {
    time: Duration,
    failed: usize,
    token_requests: u64,
}

async fn meet(peer: Peer) -> Seen {
    let cold = peer.cold();
    let lifetime = if cold == Cold::Expired { SHORT } else { LONG };
    let endpoint = Endpoint::new(lifetime, DELAY);
    let stack: Arc<Box<dyn Stack>> = Arc::new(peer.build(&endpoint, false).await);
    // One that is just built may have begun to fetch for the callers to come.
    let before = if cold == Cold::New {
        0
    } else {
        endpoint.requests()
    };
    if cold == Cold::Expired {
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
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
    let fetch = if cold == Cold::Never {
        Duration::ZERO
    } else {
        DELAY
    };
    Seen {
        time: from.elapsed().saturating_sub(fetch),
        failed,
        token_requests: endpoint.requests() - before,
    }
}
