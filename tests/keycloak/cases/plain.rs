//! A client without refresh tokens.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::admin::Requests;
use crate::api::Check;
use crate::load::Load;
use crate::stack::Kind;
use crate::world::{World, until};

const USER: &str = "plain";
const CALLERS: usize = 4;
const TIME: Duration = Duration::from_secs(25);

/// Tokens of 5 s, renewed in their time. Not at once one after the other: with
/// its detection of brute force on, Keycloak may refuse a login that follows
/// another one of the same user within moments.
pub(crate) async fn without_refresh_tokens_the_password_serves(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, kind) = (world.realm(), Kind::Hyper);
    let before = realm.start_afresh(USER).await;
    let tokens = kind.tokens(world.grant("api-no-refresh", USER)).build();
    let tokens = tokens.expect("settings");
    let load = Load::start(
        &kind.stack(&tokens, &api.url),
        CALLERS,
        Duration::from_millis(50),
    );
    sleep(TIME).await;
    let tally = load.stop().await;
    until("the end of a renewal", || !tokens.status().is_fetching).await;
    let generation = tokens.status().generation.expect("a token") as usize;
    tally.assert_all_ok();
    let requests = realm.requests().await.since(before);
    let expected = Requests {
        logins: generation,
        ..Requests::default()
    };
    assert_eq!(requests, expected);
    assert!((4..=9).contains(&generation), "{generation}");
    let sessions = realm.sessions(USER).await;
    format!(
        "{} calls with 200 in {TIME:?}: {requests}, {sessions} sessions",
        tally.ok
    )
}
