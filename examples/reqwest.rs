//! `reqwest::Client` as a tower service under the layer, and the same tokens
//! for what is no tower stack at all.

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

    // `build` instead of `send`: the request goes to the service.
    let url = format!("{}/calls", s.api_url());
    let request = client.get(format!("{url}?page=1")).build()?;
    let response = api.ready().await?.call(request).await?;
    println!("a GET: {}", response.text().await?);

    // A body that was given as bytes or text can be sent again after a 401
    // (`try_clone`); one that is a stream is sent once.
    s.revoke_access_tokens();
    let request = client.post(&url).body("a body").build()?;
    let response = api.ready().await?.call(request).await?;
    println!("a POST after its token was revoked: {}", response.status());

    // An `Authorization` of one's own stays as it is, and so does a request to
    // another origin: the layer adds nothing to either.
    let request = client.get(&url).bearer_auth("my-own").build()?;
    let response = api.ready().await?.call(request).await?;
    println!("a GET with a token of its own: {}", response.status());

    // For a websocket, an SDK or a child process: the token itself.
    let token = tokens.token().await?;
    let response = client.get(&url).bearer_auth(token.secret()).send().await?;
    println!("the token without the layer: {}", response.status());

    let seen = s.counts();
    let (ok, bad, fetched) = (seen.api_ok, seen.api_unauthorized, seen.token_requests);
    println!("api: {ok} ok, {bad} unauthorized  token requests: {fetched}");
    Ok(())
}
