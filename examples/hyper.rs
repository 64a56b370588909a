//! hyper-util's client with the layer: what it sends, what happens when a token is
//! revoked, and how the two kinds of error are told apart.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{BearerAuthLayer, Error, Origins, Outcome, PasswordGrant, TokenCache};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let s = TokenServer::start().await?;
    s.api().set_default(MockResponse::echo());
    let account = PasswordGrant::new(s.token_url(), s.client_id(), s.username(), s.password())?;
    let tokens = TokenCache::new(account);
    let layer = BearerAuthLayer::new(tokens.clone(), Origins::only([s.api_url()])?);

    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut api = ServiceBuilder::new().layer(layer).service(client);
    let call = |text: &'static str| {
        Request::post(format!("{}/messages", s.api_url())).body(Full::from(text))
    };

    // The first call fetches a token, the next ones use it.
    for text in ["one", "two"] {
        let response = api.ready().await?.call(call(text)?).await?;
        let body = response.into_body().collect().await?.to_bytes();
        println!("{text}: {body:?}");
    }

    // A token can become invalid early: its session ended, or the server's keys
    // changed. The API answers 401, and the layer fetches a new token and sends the
    // request again. `Full<Bytes>` is `Clone`, so this needs no configuration.
    s.revoke_access_tokens();
    let response = api.ready().await?.call(call("three")?).await?;
    assert_eq!(response.status(), StatusCode::OK);
    let outcome = response.extensions().get::<Outcome>();
    println!("three, after its token was revoked: {outcome:?}");

    // No token is available: the API never sees the request.
    s.revoke_access_tokens();
    tokens.invalidate();
    s.token_endpoint()
        .enqueue([MockResponse::status(StatusCode::SERVICE_UNAVAILABLE).retry_after("60")]);
    match api.ready().await?.call(call("four")?).await {
        Err(Error::Token(error)) => {
            assert!(error.is_transient());
            println!("four: {error}, retry after {:?}", error.retry_after());
        }
        Err(Error::Inner(error)) => println!("four: hyper's own error: {error}"),
        Ok(response) => println!("four: {}", response.status()),
    }

    // A limit for the whole call, including the wait for a token, goes above the
    // layer. Below it, the limit would apply to each of the two attempts.
    tokens.reset();
    let limit = Duration::from_secs(5);
    let mut api = ServiceBuilder::new().timeout(limit).service(api);
    let response = api.ready().await?.call(call("five")?).await?;
    println!("five: {}", response.status());

    let seen = s.counts();
    let (ok, bad, fetched) = (seen.api_ok, seen.api_unauthorized, seen.token_requests);
    println!("api: {ok} ok, {bad} unauthorized  token requests: {fetched}");
    Ok(())
}
