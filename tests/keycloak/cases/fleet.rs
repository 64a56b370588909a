//! Several programs with one account, all without a token.

use std::sync::Arc;

use tokio::task::JoinSet;
use tower_bearer::TokenCacheBuilder;
use tower_bearer::store::MemoryStore;

use crate::admin::Requests;
use crate::api::{Api, Check};
use crate::load::Tally;
use crate::stack::Kind;
use crate::world::World;

const CACHES: usize = 8;
const CALLERS: usize = 10;
const USER: &str = "fleet";

pub(crate) async fn a_fleet_with_a_store_logs_in_once(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let realm = world.realm();
    // One after the other: with brute force detection on, Keycloak may refuse logins
    // of a user that overlap, and how many is not fixed.
    let before = realm.start_afresh(USER).await;
    let alone = at_once(&world, &api, 1, |cache| cache).await;
    let each = realm.requests().await.since(before);
    assert_eq!(each.logins + each.refused_logins, CACHES, "{each}");
    let failures = realm.failures(USER).await;
    // All together.
    let before = realm.start_afresh(USER).await;
    let store = MemoryStore::new();
    let shared = |cache: TokenCacheBuilder| cache.store(store.clone(), USER);
    let tally = at_once(&world, &api, CALLERS, shared).await;
    tally.assert_all_ok();
    assert_eq!(tally.ok as usize, CACHES * CALLERS);
    let one = Requests {
        logins: 1,
        ..Requests::default()
    };
    assert_eq!(realm.requests().await.since(before), one);
    assert_eq!(realm.sessions(USER).await, 1);
    assert_eq!(realm.failures(USER).await, (0, false));
    let errors = alone.last_error.map(|error| error.to_string());
    format!(
        "{CACHES} caches without a store: {each} ({}), failed logins and lock by the detection: \
         {failures:?}; with a store: {one}, {} answers with 200",
        errors.unwrap_or_default(),
        tally.ok
    )
}

/// Some callers of each cache, all at the same time.
async fn at_once(
    world: &World,
    api: &Api,
    callers: usize,
    set_up: impl Fn(TokenCacheBuilder) -> TokenCacheBuilder,
) -> Tally {
    let mut calls = JoinSet::new();
    for _ in 0..CACHES {
        let tokens = set_up(Kind::Hyper.tokens(world.grant("api", USER))).build();
        let stack = Kind::Hyper.stack(&tokens.expect("settings"), &api.url);
        for _ in 0..callers {
            let stack = stack.clone();
            calls.spawn(async move { stack.call().await });
        }
    }
    let (mut tally, started) = (Tally::default(), std::time::Instant::now());
    while let Some(call) = calls.join_next().await {
        tally.count(call.expect("no panic"), started.elapsed());
    }
    tally
}
