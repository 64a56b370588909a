//! The program with a token by client credentials: with oauth2, whose requests the
//! program's own reqwest sends. The token is fetched once and never renewed.

use oauth2::basic::BasicClient;
use oauth2::{ClientId, ClientSecret, HttpRequest, HttpResponse, TokenResponse, TokenUrl};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("API_URL")?;
    let account = BasicClient::new(ClientId::new("client".to_owned()))
        .set_client_secret(ClientSecret::new(std::env::var("SECRET")?))
        .set_token_uri(TokenUrl::new(std::env::var("TOKEN_URL")?)?);
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let http = http.build()?;
    let send = |request: HttpRequest| {
        let http = http.clone();
        async move {
            let answer = http.execute(request.try_into()?).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut response = HttpResponse::new(answer.bytes().await?.to_vec());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok::<_, reqwest::Error>(response)
        }
    };
    let token = account.exchange_client_credentials();
    let token = token.request_async(&send).await?;
    let client = reqwest::Client::new();
    let request = client.get(url).bearer_auth(token.access_token().secret());
    let answer = request.send().await?;
    println!("{} {}", answer.status(), answer.text().await?);
    Ok(())
}
