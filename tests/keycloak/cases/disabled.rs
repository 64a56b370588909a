//! A user is disabled under load, and enabled again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::admin::Requests;
use crate::api::Check;
use crate::load::{Load, Tally};
use crate::stack::Kind;
use crate::world::{World, until};

const CALLERS: usize = 100;
const USER: &str = "disabled";

pub(crate) async fn a_disabled_user_is_refused_until_the_cache_is_reset(
    world: Arc<World>,
) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, kind) = (world.realm(), Kind::Hyper);
    let fresh = realm.start_afresh(USER).await;
    let tokens = kind.tokens(world.grant("api", USER)).build();
    let tokens = tokens.expect("settings");
    let load = Load::start(
        &kind.stack(&tokens, &api.url),
        CALLERS,
        Duration::from_millis(50),
    );
    load.calls(CALLERS as u64).await;
    let before = load.tally();
    before.assert_all_ok();
    realm.edit_user(USER, json!({ "enabled": false })).await;
    until("a refusal", || tokens.status().last_error.is_some()).await;
    sleep(Duration::from_secs(5)).await;
    realm.edit_user(USER, json!({ "enabled": true })).await;
    // Nobody has told the cache.
    sleep(Duration::from_secs(5)).await;
    let refused = load.tally();
    assert_eq!(only_error(&refused), "Refused", "{refused:?}");
    let requests = realm.requests().await.since(fresh);
    let mut expected = Requests {
        logins: 1,
        refused_logins: 1,
        refused_refreshes: 1,
        ..Requests::default()
    };
    assert_eq!(requests, expected);
    let (failures, locked) = realm.failures(USER).await;
    assert!(failures <= 1 && !locked, "{failures} {locked}");
    tokens.reset();
    let answer = kind.stack(&tokens, &api.url).call().await;
    assert_eq!(answer.expect("a token"), 200);
    let reset = load.tally();
    load.calls(3 * CALLERS as u64).await;
    let tally = load.stop().await;
    // All well: no failure after the reset but those under way.
    let late = tally.failed() - reset.failed();
    assert!(late <= CALLERS as u64, "{late}");
    assert!(tally.ok > before.ok + 2 * CALLERS as u64, "{tally:?}");
    expected.logins += 1;
    assert_eq!(realm.requests().await.since(fresh), expected);
    let error = refused.last_error.clone().expect("an error");
    format!(
        "{} calls refused in 10 s: {requests}; {failures} failed logins by the detection; {error}; \
         after the reset all well",
        refused.failed()
    )
}

fn only_error(tally: &Tally) -> String {
    assert!(
        tally.others.keys().all(|status| *status == 401),
        "{tally:?}"
    );
    let kinds: Vec<_> = tally.errors.keys().cloned().collect();
    kinds.join(" ")
}
