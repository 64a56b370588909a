//! The program with a token by client credentials: with tower-bearer.

use tower::{Layer, ServiceExt};
use tower_bearer::grant::ClientCredentialsGrant;
use tower_bearer::{BearerAuthLayer, Origins, TokenCache};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let api = std::env::var("API")?;
    let grant = ClientCredentialsGrant::new(std::env::var("TOKEN_URL")?, "client")?;
    let grant = grant.client_secret(std::env::var("SECRET")?);
    let layer = BearerAuthLayer::new(TokenCache::new(grant), Origins::only([&api])?);
    let client = reqwest::Client::new();
    let request = client.get(format!("{api}/calls")).build()?;
    let answer = layer.layer(client).oneshot(request).await?;
    println!("{} {}", answer.status(), answer.text().await?);
    Ok(())
}
