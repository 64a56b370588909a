//! A client without refresh tokens.

use std::sync::Arc;

use crate::api::Check;
use crate::stack::Kind;
use crate::world::World;

const RENEWALS: usize = 10;
const USER: &str = "plain";

pub(crate) async fn without_refresh_tokens_the_password_serves(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, kind) = (world.realm(), Kind::Hyper);
    realm.start_afresh(USER).await;
    let tokens = kind.tokens(world.grant("api-no-refresh", USER)).build();
    let tokens = tokens.expect("settings");
    let stack = kind.stack(&tokens, &api.url);
    for renewal in 0..=RENEWALS as u64 {
        assert_eq!(stack.call().await.expect("a token"), 200);
        assert_eq!(tokens.status().generation, Some(renewal + 1));
        tokens.invalidate();
    }
    let types = [
        "LOGIN",
        "LOGIN_ERROR",
        "REFRESH_TOKEN",
        "REFRESH_TOKEN_ERROR",
    ];
    let events = realm.events(Some(USER), types).await;
    assert_eq!(events, [RENEWALS + 1, 0, 0, 0]);
    let sessions = realm.sessions(USER).await;
    format!(
        "{RENEWALS} renewals: {} logins, 0 refreshes, {sessions} sessions",
        events[0]
    )
}
