//! A client without refresh tokens.

use std::sync::Arc;

use crate::admin::Requests;
use crate::api::Check;
use crate::stack::Kind;
use crate::world::World;

const RENEWALS: usize = 10;
const USER: &str = "plain";

pub(crate) async fn without_refresh_tokens_the_password_serves(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, kind) = (world.realm(), Kind::Hyper);
    let before = realm.start_afresh(USER).await;
    let tokens = kind.tokens(world.grant("api-no-refresh", USER)).build();
    let tokens = tokens.expect("settings");
    let stack = kind.stack(&tokens, &api.url);
    for renewal in 0..=RENEWALS as u64 {
        assert_eq!(stack.call().await.expect("a token"), 200);
        assert_eq!(tokens.status().generation, Some(renewal + 1));
        tokens.invalidate();
    }
    let requests = realm.requests().await.since(before);
    let expected = Requests {
        logins: RENEWALS + 1,
        ..Requests::default()
    };
    assert_eq!(requests, expected);
    let sessions = realm.sessions(USER).await;
    format!("{RENEWALS} renewals: {requests}, {sessions} sessions")
}
