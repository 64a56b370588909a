//! Printed chains of causes: each cause occurs, and only once.

#![cfg(all(feature = "testing", feature = "reqwest"))]

use std::error::Error as StdError;

use tower::{Layer, ServiceExt};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{BearerAuthLayer, Error, Origins, TokenCache, TokenError, TokenErrorKind};

/// The messages of an error and of its sources.
fn chain(error: &(dyn StdError + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect()
}

/// No message is a part of one that was told before it.
fn assert_told_once(messages: &[String]) {
    for (at, message) in messages.iter().enumerate() {
        for earlier in &messages[..at] {
            assert!(
                !earlier.contains(message.as_str()),
                "told twice: {messages:?}"
            );
        }
    }
}

/// A call of reqwest that fails below the layer: the port is closed.
async fn inner_error() -> Error<reqwest::Error> {
    let tokens = TokenCache::new(tower_bearer::AccessToken::new("a").expect("valid"));
    let origins = Origins::only(["http://127.0.0.1:1"]).expect("an origin");
    let client = BearerAuthLayer::new(tokens, origins).layer(reqwest::Client::new());
    let url = "http://127.0.0.1:1/calls".parse().expect("a URL");
    let request = reqwest::Request::new(reqwest::Method::GET, url);
    client.oneshot(request).await.expect_err("nobody listens")
}

async fn token_error(answer: MockResponse) -> Error<reqwest::Error> {
    let server = TokenServer::builder().in_process();
    server.token_endpoint().set_default(answer);
    let tokens = TokenCache::new(server.grant());
    let origins = Origins::only([server.api_url()]).expect("an origin");
    let client = BearerAuthLayer::new(tokens, origins).layer(reqwest::Client::new());
    let url = format!("{}/calls", server.api_url())
        .parse()
        .expect("a URL");
    let request = reqwest::Request::new(reqwest::Method::GET, url);
    client.oneshot(request).await.expect_err("no token")
}

#[tokio::test]
async fn anyhows_chain_has_the_inner_reqwest_error_and_all_of_its_causes_once() {
    let error = inner_error().await;
    let messages = chain(&error);
    println!("{messages:?}");
    assert_told_once(&messages);
    let error = anyhow::Error::from(error);
    let found: Vec<_> = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<reqwest::Error>())
        .collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].is_connect());
    assert!(error.chain().any(|cause| cause.is::<std::io::Error>()));
    assert!(!error.chain().any(|cause| cause.is::<TokenError>()));
}

#[tokio::test]
async fn anyhows_chain_has_the_tokens_error_once_and_tells_it_once() {
    for (answer, kind) in [
        (
            MockResponse::error(400, "invalid_grant"),
            TokenErrorKind::Refused,
        ),
        (MockResponse::status(500), TokenErrorKind::Unavailable),
        (MockResponse::close(), TokenErrorKind::Connect),
        (
            MockResponse::body(200, "application/json", "{"),
            TokenErrorKind::InvalidResponse,
        ),
    ] {
        let error = token_error(answer).await;
        let messages = chain(&error);
        println!("{messages:?}");
        assert_told_once(&messages);
        assert_eq!(TokenError::find(&error).expect("found").kind(), kind);
        let error = anyhow::Error::from(error);
        let found: Vec<_> = error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<TokenError>())
            .collect();
        assert_eq!(found.len(), 1, "{kind:?}");
        assert_eq!(found[0].kind(), kind);
        // As it is printed at the end of a program.
        let printed = format!("{error:?}");
        assert_eq!(
            printed.matches(&found[0].to_string()).count(),
            1,
            "{printed}"
        );
        let own = error.downcast_ref::<Error<reqwest::Error>>();
        assert!(matches!(own, Some(Error::Token(_))));
    }
}

#[tokio::test]
async fn a_boxed_error_that_was_given_more_context_is_found_all_the_same() {
    let error = token_error(MockResponse::status(500)).await;
    let error = anyhow::Error::from(error)
        .context("loading the calls")
        .context("at start");
    let found = TokenError::find(error.as_ref()).expect("found");
    assert_eq!(found.kind(), TokenErrorKind::Unavailable);
}
