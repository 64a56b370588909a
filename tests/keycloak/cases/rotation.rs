//! Refresh tokens that can be used once.

use std::sync::Arc;

use tokio::task::JoinSet;
use tower_bearer::PasswordGrant;

use crate::admin::Requests;
use crate::api::{Api, Check};
use crate::stack::Kind;
use crate::world::{PASSWORD, ROTATION, World};

const RENEWALS: usize = 100;
const CALLERS: usize = 10;
const USER: &str = "rotation";

pub(crate) async fn a_hundred_renewals_with_rotation_make_one_session(world: Arc<World>) -> String {
    let api = Api::start(&world.keycloak.url(), ROTATION, Check::Introspection).await;
    let (realm, kind) = (world.admin.realm(ROTATION), Kind::Hyper);
    let before = realm.start_afresh(USER).await;
    let grant = PasswordGrant::new(world.token_url(ROTATION), "api", USER, PASSWORD);
    let tokens = kind.tokens(grant.expect("https")).build();
    let tokens = tokens.expect("settings");
    let stack = kind.stack(&tokens, &api.url);
    for renewal in 0..=RENEWALS as u64 {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let stack = stack.clone();
            callers.spawn(async move { stack.call().await });
        }
        while let Some(call) = callers.join_next().await {
            assert_eq!(call.expect("no panic").expect("a token"), 200);
        }
        assert_eq!(tokens.status().generation, Some(renewal + 1));
        tokens.invalidate();
    }
    let requests = realm.requests().await.since(before);
    let expected = Requests {
        logins: 1,
        refreshes: RENEWALS,
        ..Requests::default()
    };
    assert_eq!(requests, expected);
    assert_eq!(realm.sessions(USER).await, 1);
    format!("{RENEWALS} renewals, {CALLERS} callers in each: {requests}, 1 session")
}
