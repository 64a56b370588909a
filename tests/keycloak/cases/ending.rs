//! The client ends a session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tower_bearer::{PasswordGrant, TokenErrorKind};

use crate::api::Check;
use crate::load::Load;
use crate::stack::Kind;
use crate::world::{CASES, World, oidc};

const USER: &str = "revoke";
const CALLERS: usize = 20;

pub(crate) async fn revoke_and_shutdown_leave_no_session(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, server) = (world.realm(), world.keycloak.url());
    let before = realm.start_afresh(USER).await;
    let logout = |grant: PasswordGrant| grant.logout_endpoint(oidc(&server, CASES, "logout"));
    let revocation =
        |grant: PasswordGrant| grant.revocation_endpoint(oidc(&server, CASES, "revoke"));
    let mut found = String::new();
    for kind in Kind::BOTH {
        for (way, grant) in [
            ("logout", logout(world.grant("api", USER))),
            ("revocation", revocation(world.grant("api", USER))),
        ] {
            let tokens = kind.tokens(grant.expect("https")).build();
            let tokens = tokens.expect("settings");
            let stack = kind.stack(&tokens, &api.url);
            // Under load the session is ended, and the next caller logs in.
            let load = Load::start(&stack, CALLERS, Duration::from_millis(5));
            load.calls(CALLERS as u64).await;
            assert_eq!(realm.sessions(USER).await, 1);
            tokens.revoke().await.expect("the session ends");
            load.calls(2 * CALLERS as u64).await;
            assert_eq!(realm.sessions(USER).await, 1, "{kind:?} {way}");
            load.stop().await.assert_all_ok();
            let started = Instant::now();
            tokens.shutdown().await.expect("the session ends");
            let took = started.elapsed();
            assert_eq!(realm.sessions(USER).await, 0, "{kind:?} {way}");
            let error = stack.call().await.expect_err("shut down");
            assert_eq!(error.kind(), TokenErrorKind::ShutDown, "{error}");
            found += &format!("{kind:?} by {way}: 0 sessions left after {took:.1?}; ");
        }
    }
    let requests = realm.requests().await.since(before);
    assert_eq!(requests.logins, 8, "{requests}");
    format!("{found}{requests}")
}
