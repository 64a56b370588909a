//! reqwest follows redirects below the layer: a response from another origin than
//! the requested one says nothing about our token.

#![cfg(all(feature = "testing", feature = "reqwest"))]

use reqwest::{Method, Request};
use tower::{Layer, ServiceExt};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{BearerAuthLayer, Origins, Outcome, TokenCache};

async fn start() -> TokenServer {
    TokenServer::start().await.expect("a port")
}

fn get(server: &TokenServer) -> Request {
    let url = format!("{}/v1/calls", server.api_url());
    Request::new(Method::GET, url.parse().expect("a URL"))
}

#[tokio::test]
async fn a_401_of_another_allowed_origin_that_reqwest_was_redirected_to_takes_no_token() {
    let (first, second) = (start().await, start().await);
    let tokens = TokenCache::new(first.grant());
    let origins = Origins::only([first.api_url(), second.api_url()]).expect("origins");
    let client = BearerAuthLayer::new(tokens.clone(), origins).layer(reqwest::Client::new());
    let elsewhere = format!("{}/v1/calls", second.api_url());
    for status in [302, 307, 308] {
        first
            .api()
            .enqueue([MockResponse::redirect(status, &elsewhere)]);
        let response = client
            .clone()
            .oneshot(get(&first))
            .await
            .expect("an answer");
        assert_eq!(response.status(), 401, "{status}");
        assert_eq!(response.url().as_str(), elsewhere);
        let outcome = response.extensions().get::<Outcome>();
        assert_eq!(outcome, Some(&Outcome::Unrelated), "{status}");
        // reqwest omits the header if the host changes.
        let token = tokens.token().await.expect("a token");
        assert_eq!(token.generation(), 1, "the good token is kept");
        let response = client
            .clone()
            .oneshot(get(&first))
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200);
    }
    assert_eq!(first.token_requests(), 1);
    assert_eq!(second.counts().api_requests, 3);
}

#[tokio::test]
async fn a_401_after_a_redirect_within_the_origin_is_about_the_token() {
    let server = start().await;
    let tokens = TokenCache::new(server.grant());
    let origins = Origins::only([server.api_url()]).expect("an origin");
    let client = BearerAuthLayer::new(tokens, origins).layer(reqwest::Client::new());
    let response = client
        .clone()
        .oneshot(get(&server))
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    server.revoke_access_tokens();
    server
        .api()
        .enqueue([MockResponse::redirect(307, "/v1/other")]);
    let response = client.oneshot(get(&server)).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.extensions().get(), Some(&Outcome::Replayed));
    assert_eq!(server.token_requests(), 2);
}
