//! An assertion about a user is exchanged for a token (RFC 7523):
//! `cargo run --example jwt_bearer`.

use std::error::Error;
use std::time::{SystemTime, SystemTimeError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tower_bearer::TokenCache;
use tower_bearer::grant::JwtBearerGrant;
use tower_bearer::testing::TokenServer;

/// What an identity provider hands out. The embedded server looks at its claims
/// and not at its signature.
fn assertion(user: &str, audience: &str) -> Result<String, SystemTimeError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let claims = json!({
        "iss": "https://idp.example.com",
        "sub": user,
        "aud": audience,
        "exp": now.as_secs() + 60,
    });
    let encode = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let head = encode(json!({ "alg": "ES256", "typ": "JWT" }));
    Ok(format!("{head}.{}.c2lnbmF0dXJl", encode(claims)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::start().await?;
    let (user, audience) = (server.username().to_owned(), server.token_url().to_owned());

    // Asked for each token request, for an assertion does not live long.
    let source = move || {
        let assertion = assertion(&user, &audience);
        async move { assertion }
    };
    let grant = JwtBearerGrant::new(server.token_url(), source)?.scope("calls");
    let cache = TokenCache::new(grant);
    cache.token().await?;
    cache.invalidate();
    println!("{:?}", cache.token().await?);

    let (requests, refused) = (server.token_requests(), server.counts().refused);
    println!("tokens: 2  token requests: {requests}  refused: {refused}");
    Ok(())
}
