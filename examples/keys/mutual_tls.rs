//! A client authenticates with its certificate (RFC 8705), which the transport
//! presents: `cargo run --example mutual_tls`.

mod tls;

use std::error::Error;

use tower_bearer::TokenCache;
use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant};
use tower_bearer::testing::TokenServer;
use tower_bearer::transport::DefaultTransport;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::builder()
        .client_id("billing")
        .client_certificate()
        .in_process();
    let (address, papers) = tls::serve(server.service()).await?;
    let endpoint = format!("https://localhost:{}/token", address.port());

    // The default transport with the operator's certificates. Any other tower
    // service with its own TLS works too.
    let transport = DefaultTransport::new()
        .client_certificate(papers.client)?
        .root_certificates(&papers.authority)?;
    let grant = ClientCredentialsGrant::new(&endpoint, "billing")?
        .client_auth(ClientAuth::tls_client_auth())
        .transport(transport);
    TokenCache::new(grant).token().await?;

    let bare = DefaultTransport::new().root_certificates(&papers.authority)?;
    let grant = ClientCredentialsGrant::new(&endpoint, "billing")?.transport(bare);
    let error = TokenCache::new(grant)
        .token()
        .await
        .expect_err("no certificate");
    println!("without a certificate: {error}");

    let (requests, refused) = (server.token_requests(), server.counts().refused);
    println!("tokens: 1  token requests: {requests}  refused: {refused}");
    Ok(())
}
