//! Exchanges an assertion about a user for a token (RFC 7523). The program signs it,
//! or reads it from a file: `cargo run --features private-key-jwt --example
//! jwt_bearer`.

use std::error::Error;

use tower_bearer::TokenCache;
use tower_bearer::grant::{JwtBearerGrant, PrivateKey, SecretFile, SecretSource, SignedJwt};
use tower_bearer::testing::TokenServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::start().await?;
    // A real key is in a file: `PrivateKey::from_pem_file(path)`.
    let key = PrivateKey::from_pem(rcgen::KeyPair::generate()?.serialize_pem())?;
    let about = || {
        SignedJwt::new(key.clone())
            .issuer("billing@robots.example.com")
            .audience(server.token_url())
            .subject(server.username())
    };

    // Signed for each token request, because an assertion is short-lived.
    let grant = JwtBearerGrant::new(server.token_url(), about())?.scope("calls");
    let tokens = TokenCache::new(grant);
    tokens.token().await?;
    tokens.invalidate();
    println!("{:?}", tokens.token().await?);

    // The same from a file that is rewritten, as in a Kubernetes cluster.
    let path = std::env::temp_dir().join(format!("assertion-{}", std::process::id()));
    std::fs::write(&path, about().secret().await?.secret())?;
    let grant = JwtBearerGrant::new(server.token_url(), SecretFile::new(&path))?;
    println!("{:?}", TokenCache::new(grant).token().await?);
    std::fs::remove_file(path)?;

    let (requests, refused) = (server.token_requests(), server.counts().refused);
    println!("tokens: 3  token requests: {requests}  refused: {refused}");
    Ok(())
}
