//! The server is killed, and started again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_bearer::TokenCache;

use crate::about::Account;
use crate::cases::cold::call_at_once;
use crate::stack::{Bodies, Stack};
use crate::world::{Login, World};

const CALLERS: u64 = 50;

pub(crate) async fn a_restart_costs_one_fetch(world: Arc<World>) -> String {
    let gone = !world.about.remembers && world.about.account == Account::RefreshToken;
    if !gone {
        return restart(&world, world.login()).await;
    }
    let mut found = forgotten(&world).await;
    if let Some(machine) = world.machine() {
        found += &format!("; the client itself: {}", restart(&world, machine).await);
    }
    found
}

/// The server forgot the refresh token, and there is nothing else to log in with.
async fn forgotten(world: &World) -> String {
    let watch = world.watch().await;
    let tokens = world.tokens(&watch, world.login()).await;
    let tokens = tokens.build().expect("settings");
    let stack = world.stack(&watch, &tokens, Bodies::Copied);
    call_at_once(&stack, CALLERS).await.assert_all_ok();
    world.kill();
    world.start().await;
    watch.forget();
    tokens.invalidate();
    for _ in 0..2 {
        let tally = call_at_once(&stack, CALLERS).await;
        assert_eq!(tally.errors.get("Refused"), Some(&CALLERS), "{tally:?}");
    }
    let requests = watch.tokens();
    assert_eq!(
        (requests.refused_refreshes, requests.all()),
        (1, 1),
        "{requests}"
    );
    format!("the refresh token is forgotten: 2 times {CALLERS} callers, {requests}")
}

async fn restart(world: &World, login: Login) -> String {
    let watch = world.watch().await;
    let tokens = world.tokens(&watch, login).await.build().expect("settings");
    let stack = world.stack(&watch, &tokens, Bodies::Copied);
    call_at_once(&stack, CALLERS).await.assert_all_ok();

    // No caller needed anything meanwhile.
    world.kill();
    world.start().await;
    watch.forget();
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
    world.start().await;
    watch.forget();
    let recovered = recover(&tokens, &stack).await;
    call_at_once(&stack, CALLERS).await.assert_all_ok();
    let second = watch.tokens();
    assert_eq!(second.logins + second.refreshes, 1, "{second}");
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
