//! An issuer instead of a token endpoint: its metadata names the token endpoint, and
//! where a session is ended: `cargo run --example discovery`.

use std::error::Error;

use tower_bearer::grant::Endpoint;
use tower_bearer::testing::TokenServer;
use tower_bearer::{PasswordGrant, TokenCache, TokenSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::start().await?;
    let (user, password) = (server.username(), server.password());

    let issuer = Endpoint::issuer(server.api_url())?;
    let account = PasswordGrant::new(issuer, server.client_id(), user, password)?;
    let tokens = TokenCache::new(account);
    tokens.token().await?;
    tokens.revoke().await?;
    tokens.token().await?;

    // A trailing slash may be missing; otherwise the issuer must be the same to the
    // last character.
    let other = Endpoint::issuer(format!("{}/other", server.api_url()))?;
    let other = PasswordGrant::new(other, server.client_id(), user, "never sent")?;
    println!("{}", other.fetch().await.expect_err("another issuer"));

    let counts = server.counts();
    println!("documents: {}", counts.discovery_requests);
    let (requests, refused) = (counts.token_requests, counts.refused);
    println!("tokens: 2  token requests: {requests}  refused: {refused}");
    Ok(())
}
