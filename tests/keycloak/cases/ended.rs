//! An administrator ends the session under load, again and again.

use std::sync::Arc;
use std::time::Duration;

use tower_bearer::TokenCache;

use crate::admin::Requests;
use crate::api::Check;
use crate::load::Load;
use crate::stack::Kind;
use crate::world::{World, until};

const TIMES: usize = 100;
const CALLERS: usize = 16;
const USER: &str = "ended";

pub(crate) async fn a_session_that_is_ended_under_load_costs_one_login(
    world: Arc<World>,
) -> String {
    let api = world.api(Check::Introspection).await;
    let realm = world.realm();
    let mut found = String::new();
    for kind in Kind::BOTH {
        let before = realm.start_afresh(USER).await;
        let counted = api.counts();
        let tokens = kind.tokens(world.grant("api", USER)).build();
        let tokens = tokens.expect("settings");
        let load = Load::start(
            &kind.stack(&tokens, &api.url),
            CALLERS,
            Duration::from_millis(1),
        );
        load.calls(CALLERS as u64).await;
        let mut late = 0;
        for round in 1..=TIMES {
            let generation = generation(&tokens);
            assert_eq!(generation, Some(round as u64), "{kind:?}");
            let held = api.hold().await;
            let mut ended = 0;
            while ended == 0 {
                ended = realm.end_sessions(USER).await;
                late += usize::from(ended == 0);
            }
            assert_eq!(ended, 1, "{kind:?} {round}");
            drop(held);
            until("a new token", || self::generation(&tokens) > generation).await;
            // Twice as many as there are callers, so that each has met it.
            load.calls(2 * CALLERS as u64).await;
        }
        let tally = load.stop().await;
        tally.assert_all_ok();
        let requests = realm.requests().await.since(before);
        // One flight each: the refresh token of a session that has ended is
        // refused once, and then the password is sent.
        let expected = Requests {
            logins: TIMES + 1,
            refused_refreshes: TIMES,
            ..Requests::default()
        };
        assert_eq!(requests, expected, "{kind:?}");
        assert_eq!(generation(&tokens), Some(TIMES as u64 + 1));
        assert_eq!(realm.sessions(USER).await, 1, "{kind:?}");
        let unauthorized = api.counts().1 - counted.1;
        found += &format!(
            "{kind:?}: {TIMES} times, {} calls with 200, {unauthorized} answers with 401 on the \
             way, {requests}, session listed late {late} times; ",
            tally.ok
        );
    }
    found
}

fn generation(tokens: &TokenCache) -> Option<u64> {
    tokens.status().generation
}
