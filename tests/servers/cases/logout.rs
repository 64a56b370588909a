//! The client ends a session.

use std::sync::Arc;

use tower_bearer::TokenErrorKind;

use crate::load::Call;
use crate::stack::Bodies;
use crate::world::World;

pub(crate) async fn a_logout_ends_the_tokens_and_shutdown_the_requests(
    world: Arc<World>,
) -> String {
    let watch = world.watch().await;
    let tokens = world.tokens(&watch, world.login()).await;
    let tokens = tokens.build().expect("settings");
    let stack = world.stack(&watch, &tokens, Bodies::Copied);
    assert_eq!(stack.call().await.expect("a token"), 200);
    let old = tokens.token().await.expect("a token");
    let ended = tokens.revoke().await;
    let found = match &world.about.revocation_endpoint {
        None => {
            let error = ended.expect_err("there is no way to end it");
            format!("no revocation endpoint: {error}")
        }
        Some(path) => {
            ended.expect("the session ends");
            let revocations = watch.of(path);
            assert!(
                revocations.ok >= 1 && revocations.other == 0,
                "{revocations}"
            );
            let status = world.call_with(&watch, old.secret()).await;
            if world.about.kill.is_some() {
                assert!([401, 403].contains(&status), "{status}");
            }
            format!("revocations: {revocations}; the old access token: {status}")
        }
    };
    // The next caller logs in, if a password is there for that.
    let next = stack.call().await;
    tokens.shutdown().await.expect("the session ends");
    let before = (watch.tokens(), watch.of(&world.about.api.path));
    let error = stack.call().await.expect_err("shut down");
    assert_eq!(error.kind(), TokenErrorKind::ShutDown, "{error}");
    assert_eq!((watch.tokens(), watch.of(&world.about.api.path)), before);
    let next = match next {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let requests = watch.tokens();
    format!("{found}; the next call: {next}; {requests}; after shutdown none")
}
