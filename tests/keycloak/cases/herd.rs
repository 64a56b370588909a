//! 1000 callers without a token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::admin::Requests;
use crate::api::Check;
use crate::load::Tally;
use crate::stack::Kind;
use crate::world::World;

const CALLERS: u64 = 1000;

pub(crate) async fn a_thousand_cold_callers_make_one_token_request(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let realm = world.realm();
    for kind in Kind::BOTH {
        let before = realm.start_afresh("herd").await;
        let tokens = kind.tokens(world.grant("api", "herd")).build();
        let tokens = tokens.expect("settings");
        let stack = kind.stack(&tokens, &api.url);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let stack = stack.clone();
            callers.spawn(async move { stack.call().await });
        }
        let (mut tally, started) = (Tally::default(), Instant::now());
        while let Some(call) = callers.join_next().await {
            tally.count(call.expect("no panic"), started.elapsed());
        }
        tally.assert_all_ok();
        assert_eq!(tally.ok, CALLERS);
        assert!(tally.longest < Duration::from_secs(30));
        let one = Requests {
            logins: 1,
            ..Requests::default()
        };
        assert_eq!(realm.requests().await.since(before), one, "{kind:?}");
        assert_eq!(realm.sessions("herd").await, 1, "{kind:?}");
    }
    let (ok, unauthorized) = api.counts();
    assert_eq!((ok, unauthorized), (2 * CALLERS, 0));
    format!("{CALLERS} callers, twice: each time 1 login, 1 session, {CALLERS} answers with 200")
}
