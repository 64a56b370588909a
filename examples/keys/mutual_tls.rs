//! A client proves itself by its certificate (RFC 8705), which the transport
//! shows: `cargo run --example mutual_tls`.

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

    // The default transport with what an operator handed out. Any other tower
    // service with TLS of its own will do.
    let transport = DefaultTransport::new()
        .client_certificate(papers.client)?
        .root_certificates(&papers.authority)?;
    let grant = ClientCredentialsGrant::new(&endpoint, "billing")?
        .client_auth(ClientAuth::tls_client_auth())
        .transport(transport);
    TokenCache::new(grant).token().await?;

    let bare = DefaultTransport::new().root_certificates(&papers.authority)?;
    let grant = ClientCredentialsGrant::new(&endpoint, "billing")?.transport(bare);
    let error = TokenCache::new(grant).token().await.expect_err("no papers");
    println!("without a certificate: {error}");

    let (requests, refused) = (server.token_requests(), server.counts().refused);
    println!("tokens: 1  token requests: {requests}  refused: {refused}");
    Ok(())
}
