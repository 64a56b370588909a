//! A not-before policy is pushed for the realm under load.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use crate::admin::Requests;
use crate::api::Check;
use crate::load::Load;
use crate::stack::Kind;
use crate::world::{World, until};

const TIMES: usize = 3;
const CALLERS: usize = 16;
const USER: &str = "stale";

pub(crate) async fn not_before_pushed_under_load_fails_nobody(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, kind) = (world.realm(), Kind::Hyper);
    let before = realm.start_afresh(USER).await;
    let tokens = kind.tokens(world.grant("api", USER)).build();
    let tokens = tokens.expect("settings");
    let load = Load::start(
        &kind.stack(&tokens, &api.url),
        CALLERS,
        Duration::from_millis(1),
    );
    load.calls(CALLERS as u64).await;
    for round in 1..=TIMES as u64 {
        // A token is stale if it is older than that second.
        sleep(Duration::from_millis(2100)).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        realm.push_not_before(now.expect("a date").as_secs()).await;
        until("a new token", || tokens.status().generation > Some(round)).await;
        load.calls(2 * CALLERS as u64).await;
    }
    let tally = load.stop().await;
    realm.edit(serde_json::json!({ "notBefore": 0 })).await;
    tally.assert_all_ok();
    let requests = realm.requests().await.since(before);
    let expected = Requests {
        logins: TIMES + 1,
        refused_refreshes: TIMES,
        ..Requests::default()
    };
    assert_eq!(requests, expected);
    assert_eq!(tokens.status().generation, Some(TIMES as u64 + 1));
    format!(
        "{TIMES} times: {} calls with 200, {} answers with 401 on the way; {requests}",
        tally.ok,
        api.counts().1
    )
}
