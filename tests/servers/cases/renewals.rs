//! Renewals while calls continue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use tower_bearer::Renewal;

use crate::about::Refresh;
use crate::load::Load;
use crate::stack::Bodies;
use crate::world::{LIFE, World, until};

const TIMES: u64 = 5;
const CALLERS: usize = 8;

/// Requests that can be replayed hide what a refresh does to the token in use. The
/// others show it at two refreshes, unless renewals are exclusive.
pub(crate) async fn five_renewals_under_load_fail_nobody(world: Arc<World>) -> String {
    let at_once = Semaphore::new(match world.about.one_at_a_time {
        true => 1,
        false => 4,
    });
    let renew = async |bodies, renewal| {
        let _permit = at_once.acquire().await.expect("a permit");
        renew(&world, bodies, renewal).await
    };
    let (copied, kept, learned, exclusive) = tokio::join!(
        renew(Bodies::Copied, Renewal::Automatic),
        renew(Bodies::Kept, Renewal::Automatic),
        renew(Bodies::NotCopied, Renewal::Automatic),
        renew(Bodies::NotCopied, Renewal::Exclusive),
    );
    let ends = world.about.refresh == Refresh::EndsAccessToken;
    assert_eq!(copied.failed, 0, "{}", copied.found);
    assert_eq!(kept.failed, 0, "{}", kept.found);
    assert_eq!(exclusive.failed, 0, "{}", exclusive.found);
    let first = if ends { 2 } else { 0 };
    assert_eq!(
        learned.rejected[first..].iter().sum::<u64>(),
        0,
        "{}",
        learned.found
    );
    let learned_it = match ends {
        true => Renewal::Exclusive,
        false => Renewal::Automatic,
    };
    assert_eq!(learned.renewal, learned_it, "{}", learned.found);
    format!(
        "copied: {}\n        kept: {}\n        not copied: {}\n        not copied, exclusive: {}",
        copied.found, kept.found, learned.found, exclusive.found
    )
}

struct Renewed {
    /// Calls that failed.
    failed: u64,
    /// Calls of the API that it rejected, for each token.
    rejected: Vec<u64>,
    renewal: Renewal,
    found: String,
}

async fn renew(world: &World, bodies: Bodies, renewal: Renewal) -> Renewed {
    let watch = world.watch().await;
    let builder = world.tokens(&watch, world.login()).await;
    let tokens = builder
        .renewal(renewal)
        // Due after 2 s.
        .renew_before(0.9, LIFE)
        .build()
        .expect("settings");
    let stack = world.stack(&watch, &tokens, bodies);
    let load = Load::start(&stack, CALLERS, Duration::from_millis(10));
    for generation in 1..=TIMES {
        until("a renewal", || {
            tokens.status().generation > Some(generation)
        })
        .await;
        load.calls(3 * CALLERS as u64).await;
    }
    let tally = load.stop().await;
    until("the end of a renewal", || !tokens.status().is_fetching).await;
    let (requests, calls) = (watch.tokens(), watch.of(&world.about.api.path));
    assert!(tally.errors.is_empty(), "{tally:?}");
    let status = tokens.status();
    let generation = status.generation.expect("a token");
    // Rejections of the old token cost none more.
    assert_eq!(
        requests.logins + requests.refreshes,
        generation,
        "{requests}"
    );
    assert_eq!(requests.all(), generation, "{requests}");
    if world.about.refresh != Refresh::None {
        assert!(requests.refreshes >= TIMES, "{requests}");
    }
    let failed = tally.failed();
    // A call that ends late failed at the renewal that ended its token, however many
    // came since.
    let rejected = watch.by_token(&world.about.api.path).into_iter();
    let rejected: Vec<_> = rejected.map(|token| token.other).collect();
    if bodies == Bodies::NotCopied {
        assert_eq!(rejected.iter().sum::<u64>(), failed, "{rejected:?}");
    }
    let found = format!(
        "failed: {failed}, rejected of each token: {rejected:?}, {requests}; the API: {calls}"
    );
    Renewed {
        failed,
        rejected,
        renewal: status.renewal,
        found,
    }
}
