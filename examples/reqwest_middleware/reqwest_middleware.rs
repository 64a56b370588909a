//! The layer in a reqwest-middleware stack with reqwest-retry and
//! reqwest-tracing:
//! `cargo run --example reqwest_middleware --features reqwest-middleware`.

use std::time::Duration;

use http::StatusCode;
use reqwest_middleware::ClientBuilder;
use reqwest_retry::{RetryTransientMiddleware, policies::ExponentialBackoff};
use reqwest_tracing::TracingMiddleware;
use tower::BoxError;
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{BearerAuthLayer, Origins, PasswordGrant, TokenCache, TokenError};
use tracing_subscriber::fmt::format::FmtSpan;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Prints a line for each span that ends.
    tracing_subscriber::fmt()
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(std::io::stderr)
        .init();

    let s = TokenServer::start().await?;
    let account = PasswordGrant::new(s.token_url(), s.client_id(), s.username(), s.password())?;
    let tokens = TokenCache::new(account);
    let layer = BearerAuthLayer::new(tokens.clone(), Origins::only([s.api_url()])?);

    // The first is the outermost. Tracing sees a call as a whole. Retries are above
    // the layer, so that each attempt gets the token that is valid then; below it
    // they would repeat an old one.
    let retries = ExponentialBackoff::builder()
        .retry_bounds(Duration::from_millis(10), Duration::from_secs(1))
        .build_with_max_retries(3);
    let api = ClientBuilder::new(reqwest::Client::new())
        .with(TracingMiddleware::default())
        .with(RetryTransientMiddleware::new_with_policy(retries))
        .with(layer)
        .build();
    let url = format!("{}/calls", s.api_url());

    // The retries handle a 503, the layer a 401.
    let overloaded = MockResponse::status(StatusCode::SERVICE_UNAVAILABLE);
    s.api().enqueue([overloaded.clone(), overloaded]);
    let response = api.get(&url).send().await?;
    println!("after two 503s: {}", response.status());

    s.revoke_access_tokens();
    let response = api.post(&url).body("a body").send().await?;
    println!("after its token was revoked: {}", response.status());

    // Without a token the call fails at once. It is not retried: the cache knows
    // when another token request may help, and makes none before.
    tokens.invalidate();
    s.end_sessions();
    s.set_password(s.username(), "changed");
    let error = api.get(&url).send().await.expect_err("no token");
    if let Some(error) = TokenError::find(&error) {
        println!("after the password was changed: {error}");
    }

    let seen = s.counts();
    let (ok, bad, fetched) = (seen.api_ok, seen.api_unauthorized, seen.token_requests);
    println!("api: {ok} ok, {bad} unauthorized  token requests: {fetched}");
    Ok(())
}
