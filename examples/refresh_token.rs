//! A refresh token from an earlier login, stored in a file whenever the server
//! rotates it: `cargo run --example refresh_token`.

use std::error::Error;

use tower_bearer::grant::RefreshTokenGrant;
use tower_bearer::testing::TokenServer;
use tower_bearer::{RefreshToken, TokenCache, TokenSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TokenServer::builder()
        .rotate_refresh_tokens(true)
        .start()
        .await?;
    let path = std::env::temp_dir().join(format!("refresh-token-{}", std::process::id()));
    let login = server.grant().fetch().await?;
    let first = login.refresh_token().ok_or("no refresh token")?;
    tokio::fs::write(&path, first.secret()).await?;

    // Each iteration represents a program that starts, renews once and ends.
    let mut tokens = 0;
    for _ in 0..3 {
        let kept = RefreshToken::new(tokio::fs::read_to_string(&path).await?)?;
        let store = path.clone();
        let grant = RefreshTokenGrant::new(server.token_url(), server.client_id(), kept)?
            .on_rotation(move |token| {
                let path = store.clone();
                async move {
                    // Renamed, so that after a crash either the old or the new file
                    // is there.
                    let beside = path.with_extension("new");
                    tokio::fs::write(&beside, token.secret()).await?;
                    tokio::fs::rename(beside, path).await
                }
            });
        let cache = TokenCache::new(grant);
        cache.token().await?;
        cache.invalidate();
        cache.token().await?;
        tokens += 2;
    }
    tokio::fs::remove_file(&path).await?;
    let counts = server.counts();
    println!("logins: {}", counts.password_grants);
    let (requests, refused) = (counts.token_requests, counts.refused);
    println!("tokens: {tokens}  token requests: {requests}  refused: {refused}");
    Ok(())
}
