//! Where a token goes: only to the named origins, with or without redirects.

#![cfg(feature = "testing")]

mod common;

use std::sync::{Arc, Mutex};

use http::header::{AUTHORIZATION, LOCATION};
use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::follow_redirect::policy::Limited;

use common::{Body, get, served};
use tower_bearer::testing::TokenServer;
use tower_bearer::{BearerAuthLayer, Origins};

/// Sends a request through `FollowRedirect` (which does not remove credentials
/// itself) above the layer, to a service that redirects once. Returns the URL of
/// each request, and whether it carried a token.
async fn redirected(status: u16, location: &'static str) -> Vec<(String, bool)> {
    let (_server, tokens) = served(TokenServer::builder());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let inner = service_fn(move |request: Request<Body>| {
        let mut log = log.lock().expect("no panic");
        let carries = request.headers().contains_key(AUTHORIZATION);
        log.push((request.uri().to_string(), carries));
        let mut response = Response::new(Body::default());
        if log.len() == 1 {
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            let location = location.parse().expect("a value");
            response.headers_mut().insert(LOCATION, location);
        }
        std::future::ready(Ok::<_, std::convert::Infallible>(response))
    });
    let origins = Origins::only(["https://api.example.com"]).expect("an origin");
    let stack = ServiceBuilder::new()
        .layer(FollowRedirectLayer::with_policy(Limited::new(5)))
        .layer(BearerAuthLayer::new(tokens, origins))
        .service(inner);
    let response = stack.oneshot(get("https://api.example.com/start")).await;
    assert_eq!(response.expect("an answer").status(), 200);
    let seen = seen.lock().expect("no panic");
    seen.clone()
}

#[tokio::test(start_paused = true)]
async fn a_token_does_not_go_along_on_a_redirect_to_another_origin() {
    for status in [301, 302, 303, 307, 308] {
        for location in [
            "https://evil.example/x",
            "https://api.example.com.evil.example/",
            "https://api.example.com:8443/",
            "http://api.example.com/",
            "//evil.example/",
            "https://api.example.com@evil.example/",
        ] {
            let seen = redirected(status, location).await;
            assert_eq!(seen.len(), 2, "{status} {location}");
            assert!(seen[0].1, "{status} {location}");
            assert!(!seen[1].1, "{status} {location}: {seen:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn within_the_origin_it_does() {
    for location in [
        "/next",
        "https://api.example.com/",
        "https://API.example.com:443/x",
    ] {
        let seen = redirected(307, location).await;
        assert!(seen[0].1 && seen[1].1, "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_to_another_origin_passes_untouched_and_costs_no_token() {
    let (server, tokens) = served(TokenServer::builder());
    let echo = service_fn(|request: Request<Body>| {
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(request)))
    });
    let layer = common::layer(&server, &tokens);
    let request = Request::get("https://elsewhere.example/x").header("x-own", "1");
    let request = request.body(Body::default()).expect("a request");
    let seen = layer.layer(echo).oneshot(request).await.expect("an answer");
    let headers = seen.into_body().headers().clone();
    assert_eq!(
        (headers.len(), headers["x-own"].as_bytes()),
        (1, b"1" as &[u8])
    );
    assert_eq!(server.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_authorization_that_the_caller_set_is_left_alone() {
    let (server, tokens) = served(TokenServer::builder());
    let echo = service_fn(|request: Request<Body>| {
        let value = request.headers()[AUTHORIZATION].to_str().expect("ascii");
        let response = Response::new(value.to_owned());
        std::future::ready(Ok::<_, std::convert::Infallible>(response))
    });
    let request = Request::get("http://localhost/").header(AUTHORIZATION, "Basic own");
    let request = request.body(Body::default()).expect("a request");
    let service = common::layer(&server, &tokens).layer(echo);
    let seen = service.oneshot(request).await.expect("an answer");
    assert_eq!(
        (seen.body().as_str(), server.token_requests()),
        ("Basic own", 0)
    );
}
