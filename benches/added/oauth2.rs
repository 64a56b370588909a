//! The program with a token by client credentials: with oauth2, as in its
//! documentation. The token is fetched once and never renewed.

use oauth2::basic::BasicClient;
use oauth2::{ClientId, ClientSecret, TokenResponse, TokenUrl};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("API_URL")?;
    let account = BasicClient::new(ClientId::new("client".to_owned()))
        .set_client_secret(ClientSecret::new(std::env::var("SECRET")?))
        .set_token_uri(TokenUrl::new(std::env::var("TOKEN_URL")?)?);
    let http = oauth2::reqwest::ClientBuilder::new()
        .redirect(oauth2::reqwest::redirect::Policy::none())
        .build()?;
    let token = account.exchange_client_credentials();
    let token = token.request_async(&http).await?;
    let client = reqwest::Client::new();
    let request = client.get(url).bearer_auth(token.access_token().secret());
    let answer = request.send().await?;
    println!("{} {}", answer.status(), answer.text().await?);
    Ok(())
}
