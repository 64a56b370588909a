//! Idle connections that the server closes.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use tower_bearer::TokenCache;

use crate::about::Account;
use crate::load::Call;
use crate::stack::Bodies;
use crate::watch::Watch;
use crate::world::{Login, World};

/// Of how many clients the idle time ends around that of the server.
const AROUND: usize = 21;

/// By the default transport, and by one that keeps connections.
pub(crate) async fn an_idle_pause_costs_nothing(world: Arc<World>) -> String {
    let pause = Duration::from_secs_f64(world.about.keep_alive_seconds + 1.0);
    let (one, other) = tokio::join!(
        pause_between_calls(&world, pause, false),
        pause_between_calls(&world, pause, true)
    );
    format!("{pause:?}: by the default transport {one}; by one that keeps connections {other}")
}

async fn pause_between_calls(world: &World, pause: Duration, pooled: bool) -> String {
    let watch = world.watch().await;
    let tokens = cache(world, &watch, pooled).await;
    let stack = world.stack(&watch, &tokens, Bodies::NotCopied);
    assert_eq!(stack.call().await.expect("a token"), 200);
    sleep(pause).await;
    assert_eq!(stack.call().await.expect("a token"), 200);
    tokens.invalidate();
    assert_eq!(stack.call().await.expect("a token"), 200);
    let requests = watch.tokens();
    // One for each token: the pause may be longer than a token's life.
    let generation = tokens.status().generation;
    assert!(generation >= Some(2), "{generation:?}");
    assert_eq!(
        requests.logins + requests.refreshes,
        generation.unwrap_or_default(),
        "{requests}"
    );
    assert_eq!(requests.all(), generation.unwrap_or_default(), "{requests}");
    requests.to_string()
}

/// At the moment when the server closes the connection to the token endpoint.
pub(crate) async fn a_token_request_at_the_end_of_a_connections_life_succeeds(
    world: Arc<World>,
) -> String {
    let mut ready = Vec::new();
    for _ in 0..AROUND {
        let watch = world.watch().await;
        let tokens = cache(&world, &watch, false).await;
        ready.push((watch, tokens));
    }
    let mut clients = JoinSet::new();
    for (n, (watch, tokens)) in ready.into_iter().enumerate() {
        // From 50 ms before to 50 ms after.
        let life = world.about.keep_alive_seconds + 0.005 * n as f64 - 0.05;
        let pause = Duration::from_secs_f64(life.max(0.0));
        clients.spawn(async move {
            tokens.token().await.expect("a token");
            sleep(pause).await;
            tokens.invalidate();
            tokens.token().await.expect("another token");
            let (requests, generation) = (watch.tokens(), tokens.status().generation);
            assert!(generation >= Some(2), "{generation:?}");
            assert_eq!(Some(requests.all()), generation, "{requests}");
        });
        sleep(Duration::from_millis(20)).await;
    }
    while let Some(client) = clients.join_next().await {
        client.expect("a token by each request");
    }
    format!("{AROUND} clients: as many token requests as tokens, 0 failed")
}

async fn cache(world: &World, watch: &Watch, pooled: bool) -> TokenCache {
    let login = world.login();
    let itself = world.about.account == Account::ClientCredentials;
    let login = Login {
        pooled,
        itself,
        ..login
    };
    world.tokens(watch, login).await.build().expect("settings")
}
