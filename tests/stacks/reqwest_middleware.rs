//! The same promises through reqwest and reqwest-middleware, over sockets.

#![cfg(all(feature = "testing", feature = "reqwest-middleware"))]

#[path = "../common/mod.rs"]
mod common;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use tower::{Layer, ServiceExt};

use common::{layer, millis, secs};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{Outcome, TokenCache, TokenError, TokenErrorKind};

const RETRIES: u32 = 3;

/// A server on a socket, and a client with reqwest-retry above the layer.
async fn stack() -> (TokenServer, TokenCache, ClientWithMiddleware) {
    let server = TokenServer::start().await.expect("a socket");
    // Long, for this clock runs.
    let tokens = TokenCache::builder(server.grant()).rejection_backoff(secs(60), secs(60));
    let tokens = tokens.build().expect("settings");
    let pauses = ExponentialBackoff::builder().retry_bounds(millis(1), millis(1));
    let retry = pauses.build_with_max_retries(RETRIES);
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(RetryTransientMiddleware::new_with_policy(retry))
        .with(layer(&server, &tokens))
        .build();
    (server, tokens, client)
}

#[tokio::test]
async fn a_401_is_answered_with_one_fetch_and_one_replay_for_each_request() {
    let (server, tokens, client) = stack().await;
    let call = || {
        let request = client.post(format!("{}/calls", server.api_url()));
        let request = request.body("a body to send again").send();
        async {
            let response = request.await.expect("an answer");
            common::read(&http::Response::from(response))
        }
    };
    assert_eq!(call().await, (200, None));
    server.revoke_access_tokens();
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(call())).collect();
    let mut replayed = 0;
    for call in calls {
        match call.await.expect("no panic") {
            (200, Some(Outcome::Replayed)) => replayed += 1,
            other => assert_eq!(other, (200, None)),
        }
    }
    assert!(replayed >= 1);
    let counts = server.counts();
    assert_eq!(counts.api_unauthorized, replayed);
    assert_eq!((counts.token_requests, counts.refresh_grants), (2, 1));

    // A fresh token that is rejected too comes back as the 401 it is.
    server
        .api()
        .set_default(MockResponse::unauthorized(["Bearer"]));
    assert_eq!(call().await, (401, Some(Outcome::Replayed)));
    assert_eq!(call().await, (401, Some(Outcome::RenewalBackedOff)));
    server.api().set_default(MockResponse::unauthorized([
        "Bearer error=\"insufficient_scope\"",
    ]));
    assert_eq!(call().await, (401, Some(Outcome::Unrelated)));
    assert_eq!(server.token_requests(), 3);
    assert_eq!(tokens.status().generation, Some(3));
}

#[tokio::test]
async fn retries_above_the_layer_do_not_multiply_token_requests() {
    let (server, _, client) = stack().await;
    let request = || client.get(format!("{}/calls", server.api_url())).send();
    server
        .api()
        .set_default(MockResponse::status(StatusCode::BAD_GATEWAY));
    assert_eq!(request().await.expect("an answer").status(), 502);
    let counts = server.counts();
    let seen = (counts.token_requests, counts.api_requests);
    assert_eq!(seen, (1, u64::from(RETRIES) + 1));

    let (server, tokens, client) = stack().await;
    server
        .token_endpoint()
        .set_default(MockResponse::status(StatusCode::SERVICE_UNAVAILABLE).retry_after("60"));
    let request = client.get(format!("{}/calls", server.api_url()));
    let error = request.send().await.expect_err("no token");
    let error = TokenError::find(&error).expect("the token's error");
    assert_eq!(error.kind(), TokenErrorKind::Unavailable);
    assert!(error.retry_after().is_some_and(|pause| pause > secs(50)));
    assert_eq!(
        (server.token_requests(), server.counts().api_requests),
        (1, 0)
    );
    assert!(tokens.status().last_error.is_some());
}

/// reqwest follows redirects below the layer.
#[tokio::test]
async fn a_redirect_that_reqwest_follows_takes_no_token_to_another_origin() {
    let (server, tokens, client) = stack().await;
    let other = TokenServer::start().await.expect("a socket");
    let elsewhere = format!("{}/calls", other.api_url());
    let redirect = MockResponse::redirect(StatusCode::TEMPORARY_REDIRECT, &elsewhere);
    server.api().set_default(redirect);
    let url = format!("{}/calls", server.api_url());
    let through = client.get(&url).send().await.expect("an answer");
    let service = layer(&server, &tokens).layer(reqwest::Client::new());
    let request = reqwest::Client::new().get(&url).build().expect("a request");
    let direct = service.oneshot(request).await.expect("an answer");
    for response in [through, direct] {
        // The other server's response to a request without a token.
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.url().as_str(), elsewhere);
    }
}
