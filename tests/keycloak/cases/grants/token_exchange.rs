//! A service exchanges the token that it was called with.

use std::sync::Arc;

use tower_bearer::TokenCache;
use tower_bearer::grant::TokenExchangeGrant;

use super::{CALLS, refused, renewed_once};
use crate::api::Check;
use crate::stack::Kind;
use crate::world::{CASES, SECRET, World};

const CLIENT: &str = "exchange";
const USER: &str = "exchange";

/// The tokens of `front` name the service in their audience, those of
/// `front-of-another` do not.
pub(crate) async fn a_users_token_is_exchanged_for_another(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let realm = world.realm();
    realm.start_afresh(USER).await;
    let users = |client: &str| {
        let tokens = Kind::Hyper.tokens(world.grant(client, USER)).build();
        tokens.expect("settings")
    };
    let exchanged = |users: &TokenCache| {
        let users = users.clone();
        let subject = move || {
            let users = users.clone();
            async move { users.token().await }
        };
        let grant = TokenExchangeGrant::new(world.token_url(CASES), subject).expect("https");
        let grant = grant.client_id(CLIENT).client_secret(SECRET);
        let grant = grant.audience("resource-server");
        Kind::Hyper.tokens(grant).build().expect("settings")
    };
    let front = users("front");
    let tokens = exchanged(&front);
    renewed_once(&tokens, &api).await;
    let (user, service) = (front.token().await, tokens.token().await);
    let (user, service) = (user.expect("a token"), service.expect("a token"));
    assert!(user.secret() != service.secret());
    let error = refused(&exchanged(&users("front-of-another")), &api).await;
    // The last call renewed once more.
    let tally = realm.tally(CLIENT).await;
    assert_eq!(tally, "3 TOKEN_EXCHANGE, 1 TOKEN_EXCHANGE_ERROR");
    for client in ["front", "front-of-another"] {
        assert_eq!(realm.tally(client).await, "1 LOGIN", "{client}");
    }
    format!("{tally}, 1 login of the user; {CALLS} calls with another's token: {error}")
}
