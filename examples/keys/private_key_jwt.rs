//! A client authenticates with assertions that it signs, with a private key in PEM
//! or with a signer that never releases its key: `cargo run --features
//! private-key-jwt --example private_key_jwt`.

use std::error::Error;
use std::time::Duration;

use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, PrivateKey, SignedJwt, Signer};
use tower_bearer::testing::TokenServer;
use tower_bearer::{BoxError, TokenCache};

/// Replaces a service that signs and never releases its key.
struct Vault(PrivateKey);

impl Signer for Vault {
    fn algorithm(&self) -> &str {
        "EdDSA"
    }

    fn key_id(&self) -> Option<&str> {
        Some("vault/7")
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.0.sign(message).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::builder()
        .client_id("billing")
        .client_assertion()
        .start()
        .await?;
    // A real key is in a file: `PrivateKey::from_pem_file(path)`.
    let pem = |algorithm| rcgen::KeyPair::generate_for(algorithm).map(|key| key.serialize_pem());
    let es256 = PrivateKey::from_pem(pem(&rcgen::PKCS_ECDSA_P256_SHA256)?)?.with_key_id("2026-11");
    let vault = Vault(PrivateKey::from_pem(pem(&rcgen::PKCS_ED25519)?)?);

    let mut tokens = 0;
    for jwt in [
        SignedJwt::new(es256),
        SignedJwt::new(vault).audience(server.api_url()),
    ] {
        println!("{jwt:?}");
        let grant = ClientCredentialsGrant::new(server.token_url(), "billing")?
            .client_auth(ClientAuth::private_key_jwt(jwt));
        TokenCache::new(grant).token().await?;
        tokens += 1;
    }
    let (requests, refused) = (server.token_requests(), server.counts().refused);
    println!("tokens: {tokens}  token requests: {requests}  refused: {refused}");
    Ok(())
}
