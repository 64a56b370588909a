//! An access token that the server's administrator ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tower_bearer::TokenCache;

use crate::about::{Account, Api};
use crate::load::Load;
use crate::stack::{Bodies, Stack};
use crate::watch::Watch;
use crate::world::{World, until};

const CALLERS: usize = 16;

pub(crate) async fn a_revoked_token_costs_one_renewal(world: Arc<World>) -> String {
    let about = &world.about;
    let Some(kill) = &about.kill else {
        return "no access token can be ended at this server: it takes each until its time".into();
    };
    let mut found = Vec::new();
    for api in [Some(&about.api), about.other_api.as_ref()]
        .into_iter()
        .flatten()
    {
        found.push(format!("{}: {}", api.path, revoke(&world, kill, api).await));
    }
    found.join("; ")
}

async fn revoke(world: &World, kill: &str, api: &Api) -> String {
    let watch = world.watch().await;
    let tokens = world.tokens(&watch, world.login()).await;
    let tokens = tokens.build().expect("settings");
    let stack = Stack::new(&tokens, Bodies::Copied, &watch.url, api);
    let load = Load::start(&stack, CALLERS, Duration::from_millis(5));
    load.calls(CALLERS as u64).await;
    if world.about.kill_ends_session && world.about.account == Account::RefreshToken {
        return told(world, kill, &tokens, &watch, load).await;
    }
    if world.about.one_token_a_second {
        sleep(Duration::from_secs(1)).await;
    }
    let before = watch.tokens();
    let token = tokens.token().await.expect("a token");
    world.end_access_token(kill, token.secret()).await;
    until("a new token", || tokens.status().generation > Some(1)).await;
    load.calls(2 * CALLERS as u64).await;
    load.stop().await.assert_all_ok();
    let (requests, calls) = (watch.tokens(), watch.of(&api.path));
    assert_eq!(tokens.status().generation, Some(2));
    assert!(calls.other > 0, "{calls}");
    // A refresh, or one that is refused and a login.
    let cost = requests.all() - before.all();
    let got = requests.logins + requests.refreshes - before.logins - before.refreshes;
    assert!(got == 1 && cost <= 2, "{requests}");
    assert_eq!(requests.refused_logins, 0, "{requests}");
    format!("{requests}; the API: {calls}; 0 calls failed")
}

/// The session is over, and there is nothing to log in with: callers are told.
async fn told(world: &World, kill: &str, tokens: &TokenCache, watch: &Watch, load: Load) -> String {
    let token = tokens.token().await.expect("a token");
    world.end_access_token(kill, token.secret()).await;
    until("an answer", || load.tally().failed() > 0).await;
    load.calls(10 * CALLERS as u64).await;
    let (tally, requests) = (load.stop().await, watch.tokens());
    assert_eq!(requests.refused_refreshes, 1, "{requests}");
    assert_eq!(requests.logins + requests.refused_logins, 0, "{requests}");
    format!("{requests}; failed: {:?} {:?}", tally.others, tally.errors)
}
