//! Any grant by its name and parameters (RFC 6749, section 4.5), here token
//! exchange: `cargo run --example extension_grant`.

use std::error::Error;

use tower_bearer::grant::ExtensionGrant;
use tower_bearer::testing::TokenServer;
use tower_bearer::{TokenCache, TokenSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::start().await?;
    let login = server.grant().fetch().await?;

    let name = "urn:ietf:params:oauth:grant-type:token-exchange";
    let access_token = "urn:ietf:params:oauth:token-type:access_token";
    let subject = login.access_token().clone();
    let grant = ExtensionGrant::new(server.token_url(), name)?
        .client_id(server.client_id())
        .param("subject_token_type", access_token)?
        // The source is called for each token request; a string would be fixed.
        .param_from("subject_token", move || {
            let subject = subject.clone();
            async move { Ok::<_, std::io::Error>(subject) }
        })?;
    println!("{grant:?}");
    TokenCache::new(grant).token().await?;

    let (requests, refused) = (server.token_requests(), server.counts().refused);
    println!("tokens: 2  token requests: {requests}  refused: {refused}");
    Ok(())
}
