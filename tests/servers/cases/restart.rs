//! The server is killed, and started again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_bearer::{TokenCache, TokenErrorKind};

use crate::about::Account;
use crate::cases::cold::call_at_once;
use crate::stack::{Bodies, Stack};
use crate::world::World;

const CALLERS: u64 = 50;

pub(crate) async fn a_restart_costs_one_fetch(world: Arc<World>) -> String {
    let watch = world.watch().await;
    let tokens = world.tokens(&watch, world.login()).await;
    let tokens = tokens.build().expect("settings");
    let stack = world.stack(&watch, &tokens, Bodies::Copied);
    call_at_once(&stack, CALLERS).await.assert_all_ok();

    // Nobody asked for anything meanwhile.
    world.kill();
    world.start().await;
    watch.forget();
    let gone = !world.about.remembers && world.about.account == Account::RefreshToken;
    if gone {
        // What the server forgot, and there is nothing to log in with.
        let tally = call_at_once(&stack, CALLERS).await;
        let requests = watch.tokens();
        return format!(
            "{} calls with 200, failed: {:?} {:?}; {requests}",
            tally.ok, tally.others, tally.errors
        );
    }
    call_at_once(&stack, CALLERS).await.assert_all_ok();
    let first = watch.tokens();
    match world.about.remembers {
        true => assert_eq!(first.all(), 0, "{first}"),
        // A refresh that is refused, if there was a refresh token, and a login.
        false => assert!(first.logins == 1 && first.all() <= 2, "{first}"),
    }

    // A token is needed while the server is down.
    world.kill();
    tokens.invalidate();
    let tally = call_at_once(&stack, CALLERS).await;
    assert_eq!((tally.ok, tally.failed()), (0, CALLERS), "{tally:?}");
    let error = tally.last_error.expect("an error");
    assert!(error.is_transient(), "{error:?}");
    assert_ne!(error.kind(), TokenErrorKind::Refused, "{error:?}");
    world.start().await;
    watch.forget();
    let recovered = recover(&tokens, &stack).await;
    call_at_once(&stack, CALLERS).await.assert_all_ok();
    let second = watch.tokens();
    assert!(second.logins + second.refreshes == 1, "{second}");
    assert!(second.all() <= 2, "{second}");
    format!(
        "after a restart: {first}; needed while it was down: {error}, {recovered:.1?} after it \
         was back: {second}"
    )
}

/// How long it takes until a call succeeds.
async fn recover(tokens: &TokenCache, stack: &Stack) -> Duration {
    let (back, held) = (Instant::now(), tokens.status().fetch_backoff);
    let limit = held.unwrap_or_default() + Duration::from_secs(5);
    while call_at_once(stack, 1).await.ok == 0 {
        assert!(back.elapsed() < limit, "{:?}", tokens.status());
        sleep(Duration::from_millis(20)).await;
    }
    back.elapsed()
}
