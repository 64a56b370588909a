//! Callers without a token.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::load::{Call, Tally};
use crate::stack::{Bodies, Stack};
use crate::world::{Login, World};

const CALLERS: u64 = 200;

pub(crate) async fn two_hundred_cold_callers_make_one_token_request(world: Arc<World>) -> String {
    let mut found = one_token_request(&world, world.login()).await;
    if let Some(machine) = world.machine() {
        found += &format!(
            "; the client itself: {}",
            one_token_request(&world, machine).await
        );
    }
    found
}

/// In each way that the server knows.
pub(crate) async fn a_secret_of_other_characters_serves(world: Arc<World>) -> String {
    if world.about.odd_secret.is_empty() {
        return "not here: the server's refresh tokens are for one client".into();
    }
    let mut found = Vec::new();
    for way in &world.about.odd_secret {
        let requests = one_token_request(&world, world.odd(way)).await;
        found.push(format!("{way}: {requests}"));
    }
    found.join("; ")
}

async fn one_token_request(world: &World, login: Login) -> String {
    let watch = world.watch().await;
    let tokens = world.tokens(&watch, login).await.build().expect("settings");
    let stack = world.stack(&watch, &tokens, Bodies::Copied);
    call_at_once(&stack, CALLERS).await.assert_all_ok();
    let (requests, calls) = (watch.tokens(), watch.of(&world.about.api.path));
    assert_eq!(
        (requests.logins + requests.refreshes, requests.all()),
        (1, 1),
        "{requests}"
    );
    assert_eq!((calls.ok, calls.other), (CALLERS, 0), "{calls}");
    format!("{requests}, {calls}")
}

/// This many callers, each of which calls once.
pub(crate) async fn call_at_once(stack: &Stack, callers: u64) -> Tally {
    let (mut calls, started) = (JoinSet::new(), Instant::now());
    for _ in 0..callers {
        let stack = stack.clone();
        calls.spawn(async move { stack.call().await });
    }
    let mut tally = Tally::default();
    while let Some(call) = calls.join_next().await {
        tally.count(call.expect("no panic"), started.elapsed());
    }
    tally
}
