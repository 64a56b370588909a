//! A client presents its certificate.

use std::sync::Arc;

use tower_bearer::TokenCache;
use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant};
use tower_bearer::transport::DefaultTransport;

use super::{CALLS, refused, renewed_once};
use crate::api::Check;
use crate::world::{CASES, World};

const CLIENT: &str = "service-tls";

pub(crate) async fn a_certificate_serves_for_a_secret(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let cache = |transport| {
        let grant = ClientCredentialsGrant::new(world.token_url(CASES), CLIENT).expect("https");
        let grant = grant
            .client_auth(ClientAuth::tls_client_auth())
            .transport(transport);
        TokenCache::new(grant)
    };
    let shown = |name: &str| {
        let paper = |ending| world.keycloak.paper(&format!("{name}.{ending}"));
        let transport = DefaultTransport::new().client_certificate(paper("pem") + &paper("key"));
        transport.expect("a certificate")
    };
    renewed_once(&cache(shown(CLIENT)), &api).await;
    let another = refused(&cache(shown("somebody")), &api).await;
    let none = refused(&cache(DefaultTransport::new()), &api).await;
    let tally = world.realm().tally(CLIENT).await;
    assert_eq!(tally, "2 CLIENT_LOGIN, 2 CLIENT_LOGIN_ERROR");
    format!(
        "its own, 1 renewal; {CALLS} calls each with somebody's: {another}; without: {none}; \
         {tally}"
    )
}
