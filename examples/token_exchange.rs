//! A gateway exchanges its user's token for one that another service accepts
//! (RFC 8693): `cargo run --example token_exchange`.

use std::error::Error;

use tower_bearer::TokenCache;
use tower_bearer::grant::TokenExchangeGrant;
use tower_bearer::testing::TokenServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::start().await?;
    let users = TokenCache::new(server.grant());

    // The subject token is requested each time, from this cache.
    let of = users.clone();
    let subject = move || {
        let users = of.clone();
        async move { users.token().await }
    };
    let grant = TokenExchangeGrant::new(server.token_url(), subject)?
        .client_id(server.client_id())
        .audience("billing");
    let billing = TokenCache::new(grant);

    let (user, exchanged) = (users.token().await?, billing.token().await?);
    assert_ne!(user.secret(), exchanged.secret());
    let counts = server.counts();
    println!("logins: {}", counts.password_grants);
    println!("exchanges: {}", counts.token_exchange_grants);
    let (requests, refused) = (counts.token_requests, counts.refused);
    println!("tokens: 2  token requests: {requests}  refused: {refused}");
    Ok(())
}
