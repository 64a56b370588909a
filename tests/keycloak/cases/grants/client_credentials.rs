//! A program requests tokens for itself, with a secret.

use std::sync::Arc;

use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant};

use super::{CALLS, refused, renewed_once};
use crate::api::Check;
use crate::stack::Kind;
use crate::world::{CASES, SECRET, World};

const CLIENT: &str = "service";

pub(crate) async fn a_secret_serves_in_the_header_and_in_the_form(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let cache = |auth| {
        let grant = ClientCredentialsGrant::new(world.token_url(CASES), CLIENT).expect("https");
        let tokens = Kind::Hyper.tokens(grant.client_auth(auth)).build();
        tokens.expect("settings")
    };
    for auth in [
        ClientAuth::client_secret_basic(SECRET),
        ClientAuth::client_secret_post(SECRET),
    ] {
        renewed_once(&cache(auth), &api).await;
    }
    let error = refused(
        &cache(ClientAuth::client_secret_basic("marksecret-wrong")),
        &api,
    )
    .await;
    let tally = world.realm().tally(CLIENT).await;
    assert_eq!(tally, "4 CLIENT_LOGIN, 1 CLIENT_LOGIN_ERROR");
    format!("Basic and form, 1 renewal each; {CALLS} calls with a wrong one: {error}; {tally}")
}
