//! An assertion about a user. Keycloak accepts only those of a configured identity
//! provider, and none is configured here, so this tests the refusal.

use std::sync::Arc;

use rcgen::KeyPair;
use tower_bearer::TokenCache;
use tower_bearer::grant::{JwtBearerGrant, PrivateKey, SignedJwt};

use super::{CALLS, Counter, refused};
use crate::api::Check;
use crate::world::{CASES, SECRET, World};

const CLIENT: &str = "assertions";

pub(crate) async fn an_assertion_of_nobody_known_is_refused_once(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let realm = world.realm();
    // Keycloak 26.4 has neither the grant nor its events.
    let older = world.keycloak.version.starts_with("26.4");
    if !older {
        realm
            .count_events(["JWT_AUTHORIZATION_GRANT", "JWT_AUTHORIZATION_GRANT_ERROR"])
            .await;
    }
    let key = KeyPair::generate().expect("a key").serialize_pem();
    let key = PrivateKey::from_pem(key).expect("a key");
    let endpoint = world.token_url(CASES);
    let about = SignedJwt::new(key).issuer("https://nobody.example.com");
    let about = about.audience(&*endpoint).subject("plain");
    let grant = JwtBearerGrant::new(endpoint, about).expect("https");
    let grant = grant.client_id(CLIENT).client_secret(SECRET);
    let requests = Counter::default();
    let tokens = TokenCache::new(grant.transport(requests.https()));
    let error = refused(&tokens, &api).await;
    assert_eq!(requests.so_far(), 1);
    let tally = realm.tally(CLIENT).await;
    let (code, expected) = if older {
        ("unsupported_grant_type", "")
    } else {
        ("invalid_grant", "1 JWT_AUTHORIZATION_GRANT_ERROR")
    };
    assert_eq!(error.oauth_error(), Some(code), "{error}");
    assert_eq!(tally, expected);
    format!("{CALLS} calls: {error}; 1 token request, events: {tally}")
}
