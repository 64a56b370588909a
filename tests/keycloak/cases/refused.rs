//! Wrong configurations.

use std::sync::Arc;

use tower_bearer::grant::ClientAuth;
use tower_bearer::{PasswordGrant, TokenCache, TokenErrorKind};

use crate::api::Check;
use crate::stack::{Kind, https};
use crate::world::{SECRET, World};

const CALLS: usize = 20;

pub(crate) async fn what_is_set_up_wrongly_is_named_after_one_attempt(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let (realm, mut found) = (world.realm(), String::new());
    let right = || world.grant("api-secret", "errors").client_secret(SECRET);
    let cases: Vec<(&str, &str, PasswordGrant, &[&str])> = vec![
        (
            "client secret wrong",
            "api-secret",
            world
                .grant("api-secret", "errors")
                .client_secret("marksecret-but-another"),
            &["unauthorized_client", "invalid_client"],
        ),
        (
            "client secret missing",
            "api-secret",
            world.grant("api-secret", "errors"),
            &["unauthorized_client", "invalid_client"],
        ),
        (
            "client unknown",
            "api-unknown",
            world.grant("api-unknown", "errors"),
            &["invalid_client"],
        ),
        (
            "direct grant off",
            "api-no-direct-grant",
            world.grant("api-no-direct-grant", "errors"),
            &["unauthorized_client"],
        ),
        (
            "required action pending",
            "api",
            world.grant("api", "pending"),
            &["invalid_grant"],
        ),
        (
            "scope unknown",
            "api",
            world.grant("api", "errors").scope("no-such-scope"),
            &["invalid_scope"],
        ),
    ];
    for (name, client, grant, codes) in cases {
        let before = realm.errors(client, "LOGIN_ERROR").await.len();
        let tokens = Kind::Hyper.tokens(grant).build().expect("settings");
        let stack = Kind::Hyper.stack(&tokens, &api.url);
        for _ in 0..CALLS {
            let error = stack.call().await.expect_err(name);
            assert_eq!(error.kind(), TokenErrorKind::Refused, "{name}: {error}");
            assert!(!error.is_transient() && error.retry_after().is_some());
            let code = error.oauth_error().unwrap_or_default();
            assert!(codes.contains(&code), "{name}: {error}");
        }
        let errors = realm.errors(client, "LOGIN_ERROR").await;
        assert_eq!(errors.len() - before, 1, "{name}: {errors:?}");
        let error = tokens.status().last_error.expect("an error");
        found += &format!("{name}: {error}; ");
    }
    // And rightly, in both ways.
    for auth in [
        ClientAuth::client_secret_basic(SECRET),
        ClientAuth::client_secret_post(SECRET),
    ] {
        let grant = right().client_auth(auth).transport(https());
        let tokens = TokenCache::new(grant);
        assert_eq!(
            Kind::Hyper.stack(&tokens, &api.url).call().await.ok(),
            Some(200)
        );
    }
    assert_eq!(realm.failures("errors").await, (0, false));
    format!("{found}{CALLS} calls and 1 attempt each")
}
