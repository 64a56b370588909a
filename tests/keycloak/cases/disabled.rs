//! A user is disabled under load, and enabled again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use tower_bearer::TokenErrorKind;

use crate::admin::Requests;
use crate::api::Check;
use crate::load::Load;
use crate::stack::Kind;
use crate::world::{World, until};

const CALLERS: usize = 100;
const USER: &str = "disabled";

pub(crate) async fn a_disabled_user_is_refused_and_served_once_enabled(
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
    sleep(Duration::from_secs(10)).await;
    let refused = load.tally();
    // The API's own answer, for the old token is all there is.
    assert!(refused.errors.is_empty(), "{refused:?}");
    assert_eq!(refused.others.len(), 1, "{refused:?}");
    assert!(refused.others.contains_key(&401), "{refused:?}");
    let error = tokens.status().last_error.expect("an error");
    assert_eq!(error.kind(), TokenErrorKind::Refused, "{error}");
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
    // Keycloak takes the old token again, so it needs no login.
    realm.edit_user(USER, json!({ "enabled": true })).await;
    let answer = kind.stack(&tokens, &api.url).call().await;
    assert_eq!(answer.expect("a token"), 200);
    assert_eq!(realm.requests().await.since(fresh), expected);
    tokens.reset();
    tokens.invalidate();
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
    format!(
        "{} calls answered with 401 in 10 s: {requests}; {failures} failed logins by the detection; {error}; \
         after the reset all well",
        refused.failed()
    )
}
