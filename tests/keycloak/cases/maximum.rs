//! A session that reaches its maximum lifetime.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::api::Check;
use crate::load::Load;
use crate::stack::Kind;
use crate::world::{World, until};

const CALLERS: usize = 4;
const USER: &str = "maximum";

/// Tokens of 12 s in a session of 30 s at most.
pub(crate) async fn a_session_near_its_maximum_is_followed_by_another(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, kind) = (world.realm(), Kind::Hyper);
    let before = realm.start_afresh(USER).await;
    let tokens = kind.tokens(world.grant("api-maximum", USER)).build();
    let tokens = tokens.expect("settings");
    let load = Load::start(
        &kind.stack(&tokens, &api.url),
        CALLERS,
        Duration::from_millis(20),
    );
    let (started, mut seen, mut lives) = (Instant::now(), 0, Vec::new());
    while started.elapsed() < Duration::from_secs(45) {
        let token = tokens.token().await.expect("a token");
        if token.generation() != seen {
            seen = token.generation();
            lives.push(token.lifetime().expect("a lifetime").as_secs());
        }
        sleep(Duration::from_millis(50)).await;
    }
    let tally = load.stop().await;
    tally.assert_all_ok();
    let requests = realm.requests().await.since(before);
    assert!(lives.iter().any(|life| *life < 12), "{lives:?}");
    assert!(
        requests.logins >= 2 && requests.refused_logins == 0,
        "{requests}"
    );
    assert_eq!(requests.tokens(), lives.len(), "{requests} {lives:?}");
    format!(
        "{} calls with 200 in 45 s, {} answers with 401 on the way; `expires_in` {lives:?}; \
         {requests}",
        tally.ok,
        api.counts().1
    )
}

/// The server told no such end when it issued the refresh token: it was set
/// afterwards.
pub(crate) async fn a_refresh_that_is_refused_falls_back_in_the_same_flight(
    world: Arc<World>,
) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, kind) = (world.realm(), Kind::Hyper);
    let before = realm.start_afresh(USER).await;
    let tokens = kind.tokens(world.grant("api", USER)).build();
    let tokens = tokens.expect("settings");
    let load = Load::start(
        &kind.stack(&tokens, &api.url),
        CALLERS,
        Duration::from_millis(20),
    );
    load.calls(CALLERS as u64).await;
    sleep(Duration::from_secs(3)).await;
    realm.edit(json!({ "ssoSessionMaxLifespan": 2 })).await;
    let (started, renewed) = (Instant::now(), || tokens.status().generation > Some(1));
    until("a new token", renewed).await;
    let took = started.elapsed();
    realm.edit(json!({ "ssoSessionMaxLifespan": 36000 })).await;
    load.calls(2 * CALLERS as u64).await;
    let tally = load.stop().await;
    tally.assert_all_ok();
    let requests = realm.requests().await.since(before);
    let generation = tokens.status().generation.expect("a token") as usize;
    // As many flights as tokens, and none failed.
    assert_eq!(requests.tokens(), generation, "{requests}");
    assert!(
        requests.refused_refreshes >= 1 && requests.refused_logins == 0,
        "{requests}"
    );
    format!(
        "the maximum set to 2 s under load: {} calls with 200, a new token after {took:.1?}; \
         {requests} for {generation} tokens",
        tally.ok
    )
}
