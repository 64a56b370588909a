//! A program requests tokens for itself, with its secret in the header or in the
//! form: `cargo run --example client_credentials`.

use std::error::Error;

use tower_bearer::TokenCache;
use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant};
use tower_bearer::testing::TokenServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::builder()
        .client_id("billing")
        .client_secret("s3cret")
        .start()
        .await?;
    let grant = || ClientCredentialsGrant::new(server.token_url(), "billing");

    let in_the_header = grant()?.client_secret("s3cret").scope("invoices");
    let in_the_form = grant()?.client_auth(ClientAuth::client_secret_post("s3cret"));

    let mut tokens = 0;
    for grant in [in_the_header, in_the_form] {
        let cache = TokenCache::new(grant);
        println!("{:?}", cache.token().await?);
        tokens += 1;
    }
    let (requests, refused) = (server.token_requests(), server.counts().refused);
    println!("tokens: {tokens}  token requests: {requests}  refused: {refused}");
    Ok(())
}
