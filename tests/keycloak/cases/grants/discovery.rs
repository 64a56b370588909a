//! An issuer instead of a token endpoint.

use std::sync::Arc;

use tower_bearer::grant::Endpoint;
use tower_bearer::{PasswordGrant, TokenErrorKind};

use super::{CALLS, renewed_once};
use crate::api::Check;
use crate::stack::Kind;
use crate::world::{CASES, PASSWORD, World};

const CLIENT: &str = "discovery";
const USER: &str = "discovery";

pub(crate) async fn an_issuer_tells_where_to_ask_and_where_to_end(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let realm = world.realm();
    realm.start_afresh(USER).await;
    let realms = format!("{}/realms", world.keycloak.url());
    let mut found = String::new();
    for kind in Kind::BOTH {
        let cache = |issuer: String| {
            let issuer = Endpoint::issuer(issuer).expect("https");
            let grant = PasswordGrant::new(issuer, CLIENT, USER, PASSWORD).expect("an issuer");
            kind.tokens(grant).build().expect("settings")
        };
        let tokens = cache(format!("{realms}/{CASES}"));
        renewed_once(&tokens, &api).await;
        assert_eq!(realm.sessions(USER).await, 1, "{kind:?}");
        tokens.revoke().await.expect("the end of the session");
        assert_eq!(realm.sessions(USER).await, 0, "{kind:?}");
        // A trailing slash does not make another issuer, and the metadata has the
        // exact name.
        let tokens = cache(format!("{realms}/{CASES}/"));
        let answer = kind.stack(&tokens, &api.url).call().await;
        assert_eq!(answer.expect("a token"), 200, "{kind:?}");
        tokens.revoke().await.expect("the end of the session");
        // No password goes to something that is not an issuer.
        let tokens = cache(format!("{realms}/no-such"));
        let stack = kind.stack(&tokens, &api.url);
        for _ in 0..CALLS {
            let error = stack.call().await.expect_err("no token");
            assert_eq!(error.kind(), TokenErrorKind::Config, "{error}");
        }
        let error = tokens.status().last_error.expect("an error");
        found += &format!("{kind:?}: {error}; ");
    }
    let tally = realm.tally(CLIENT).await;
    assert_eq!(tally, "4 LOGIN, 2 REFRESH_TOKEN, 4 REVOKE_GRANT");
    format!("{found}{tally}")
}
