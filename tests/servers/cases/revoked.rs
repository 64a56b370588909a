//! An access token that the server's administrator ends.

use std::sync::Arc;
use std::time::Duration;

use crate::load::Load;
use crate::stack::Bodies;
use crate::world::{World, until};

const CALLERS: usize = 16;

pub(crate) async fn a_revoked_token_costs_one_renewal(world: Arc<World>) -> String {
    let Some(kill) = &world.about.kill else {
        return "no access token can be ended at this server: it takes each until its time".into();
    };
    let watch = world.watch().await;
    let tokens = world.tokens(&watch, world.login()).await;
    let tokens = tokens.build().expect("settings");
    let stack = world.stack(&watch, &tokens, Bodies::Copied);
    let load = Load::start(&stack, CALLERS, Duration::from_millis(5));
    load.calls(CALLERS as u64).await;
    let before = watch.tokens();
    let token = tokens.token().await.expect("a token");
    world.end_access_token(kill, token.secret()).await;
    until("a new token", || tokens.status().generation > Some(1)).await;
    load.calls(2 * CALLERS as u64).await;
    load.stop().await.assert_all_ok();
    let (requests, calls) = (watch.tokens(), watch.of(&world.about.api));
    assert_eq!(tokens.status().generation, Some(2));
    assert!(calls.other > 0, "{calls}");
    // A refresh, or one that is refused and a login.
    let cost = requests.all() - before.all();
    let got = requests.logins + requests.refreshes - before.logins - before.refreshes;
    assert!(got == 1 && cost <= 2, "{requests}");
    assert_eq!(requests.refused_logins, 0, "{requests}");
    format!("{requests}; the API: {calls}; 0 calls failed")
}
