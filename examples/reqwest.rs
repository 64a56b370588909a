//! `reqwest::Client` as a tower service under the layer, and the same tokens outside
//! a tower stack.

use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_bearer::testing::TokenServer;
use tower_bearer::{BearerAuthLayer, Origins, PasswordGrant, TokenCache};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let s = TokenServer::start().await?;
    let account = PasswordGrant::new(s.token_url(), s.client_id(), s.username(), s.password())?;
    let tokens = TokenCache::new(account);
    let layer = BearerAuthLayer::new(tokens.clone(), Origins::only([s.api_url()])?);

    let client = reqwest::Client::new();
    let mut api = ServiceBuilder::new().layer(layer).service(client.clone());

    // `build` instead of `send`, because the request goes to the service.
    let url = format!("{}/calls", s.api_url());
    let request = client.get(format!("{url}?page=1")).build()?;
    let response = api.ready().await?.call(request).await?;
    println!("a GET: {}", response.text().await?);

    // A body of bytes or text can be sent again after a 401 (`try_clone`); a stream
    // is sent only once.
    s.revoke_access_tokens();
    let request = client.post(&url).body("a body").build()?;
    let response = api.ready().await?.call(request).await?;
    println!("a POST after its token was revoked: {}", response.status());

    // The layer does not change a request that has an `Authorization` already, or
    // one to another origin.
    let request = client.get(&url).bearer_auth("my-own").build()?;
    let response = api.ready().await?.call(request).await?;
    println!("a GET with a token of its own: {}", response.status());

    // For a websocket, an SDK or a child process, use the token itself.
    let token = tokens.token().await?;
    let response = client.get(&url).bearer_auth(token.secret()).send().await?;
    println!("the token without the layer: {}", response.status());

    let seen = s.counts();
    let (ok, bad, fetched) = (seen.api_ok, seen.api_unauthorized, seen.token_requests);
    println!("api: {ok} ok, {bad} unauthorized  token requests: {fetched}");
    Ok(())
}
