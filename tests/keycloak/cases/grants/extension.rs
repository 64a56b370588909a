//! A grant by its name and parameters.

use std::sync::Arc;

use tower_bearer::TokenCache;
use tower_bearer::grant::ExtensionGrant;

use super::{CALLS, Counter, refused, renewed_once};
use crate::api::Check;
use crate::world::{CASES, PASSWORD, World};

const CLIENT: &str = "extension";
const USER: &str = "plain";

pub(crate) async fn any_grant_serves_by_its_name(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let realm = world.realm();
    realm.start_afresh(USER).await;
    let requests = Counter::default();
    let cache = |name: &str| {
        let grant = ExtensionGrant::new(world.token_url(CASES), name).expect("https");
        let grant = grant.client_id(CLIENT).param("username", USER);
        let grant = grant.and_then(|grant| grant.param("password", PASSWORD));
        TokenCache::new(grant.expect("parameters").transport(requests.https()))
    };
    renewed_once(&cache("password"), &api).await;
    // This leaves no event, so that it is counted here.
    let error = refused(&cache("urn:x"), &api).await;
    let tally = realm.tally(CLIENT).await;
    assert_eq!(tally, "1 LOGIN, 1 REFRESH_TOKEN");
    assert_eq!(requests.so_far(), 3);
    format!("{tally}; {CALLS} calls with an unknown one, 1 token request: {error}")
}
