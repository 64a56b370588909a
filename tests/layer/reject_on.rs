//! Rejections other than a 401: by status, header, gRPC status or body. Each is
//! handled like a 401: one renewal, one replay, and renewals that do not help are
//! backed off.

#![cfg(feature = "testing")]

#[path = "../common/mod.rs"]
mod common;

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

use common::{Body, api, call, get, layer, read, secs, served};
use tower_bearer::rejection::GrpcBody;
use tower_bearer::testing::{ApiRejection, MockBody, MockResponse, TokenServer};
use tower_bearer::{
    BearerAuthLayer, CloneBody, NoReplay, Outcome, Rejection, SentToken, TokenCache,
};

fn server(rejection: ApiRejection) -> (TokenServer, TokenCache) {
    served(TokenServer::builder().api_rejection(rejection))
}

async fn send<S>(api: &S) -> S::Response
where
    S: Service<Request<Body>> + Clone,
    S::Error: std::fmt::Debug,
{
    let answer = api.clone().oneshot(get("http://localhost/v1/calls")).await;
    answer.expect("an answer")
}

async fn sent<S, B>(api: &S) -> (u16, Option<Outcome>)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
{
    read(&send(api).await)
}

/// The result of a gRPC call: the status in its headers or trailers, and the
/// outcome.
async fn grpc<S>(api: &S) -> (String, Option<Outcome>)
where
    S: Service<Request<Body>, Response = Response<GrpcBody<MockBody>>> + Clone,
    S::Error: std::fmt::Debug,
{
    let response = send(api).await;
    let outcome = response.extensions().get().copied();
    let status = |headers: &HeaderMap| {
        let code = headers.get("grpc-status")?;
        Some(code.to_str().expect("digits").to_owned())
    };
    let in_headers = status(response.headers());
    let body = response.into_body().collect().await.expect("a body");
    let in_trailers = body.trailers().and_then(status);
    let code = in_headers.or(in_trailers).expect("a status");
    (code, outcome)
}

#[tokio::test(start_paused = true)]
async fn a_status_that_was_asked_for_is_a_rejection() {
    let (server, tokens) = server(ApiRejection::Forbidden);
    let rejecting = layer(&server, &tokens)
        .reject_on(Rejection::statuses([403]))
        .layer(server.service());
    assert_eq!(sent(&rejecting).await, (200, None));
    server.revoke_access_tokens();
    // Not requested here.
    assert_eq!(call(&api(&server, &tokens)).await, (403, None));
    assert_eq!(sent(&rejecting).await, (200, Some(Outcome::Replayed)));
    assert_eq!(sent(&rejecting).await, (200, None));
    assert_eq!(server.token_requests(), 2);
    // The rights are too small, and the API says so.
    server
        .api()
        .enqueue([MockResponse::insufficient_scope("admin")]);
    assert_eq!(sent(&rejecting).await, (403, None));
    // A 401 is one besides.
    server.api().enqueue([MockResponse::unauthorized([""; 0])]);
    assert_eq!(sent(&rejecting).await, (200, Some(Outcome::Replayed)));
    assert_eq!(server.token_requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn missing_rights_that_look_like_a_dead_token_are_no_load_on_the_token_endpoint() {
    let (server, tokens) = server(ApiRejection::Forbidden);
    let rejecting = layer(&server, &tokens)
        .reject_on(Rejection::statuses([403]))
        .layer(server.service());
    server.api().set_default(MockResponse::status(403));
    assert_eq!(sent(&rejecting).await, (403, Some(Outcome::Replayed)));
    for _ in 0..50 {
        let outcome = Some(Outcome::RenewalBackedOff);
        assert_eq!(sent(&rejecting).await, (403, outcome));
    }
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_closure_decides_by_status_and_headers() {
    let (server, tokens) = served(TokenServer::builder());
    let rejecting = layer(&server, &tokens)
        .reject_on(Rejection::when(|status, headers| {
            status == 400 && headers.contains_key("x-token-expired")
        }))
        .layer(server.service());
    let marked = http::HeaderName::from_static("x-token-expired");
    server.api().enqueue([
        MockResponse::status(400).header(marked.clone(), "1"),
        MockResponse::default(),
        MockResponse::status(400),
        MockResponse::status(500).header(marked, "1"),
    ]);
    assert_eq!(sent(&rejecting).await, (200, Some(Outcome::Replayed)));
    assert_eq!(sent(&rejecting).await, (400, None));
    assert_eq!(sent(&rejecting).await, (500, None));
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_status_in_the_first_headers_is_replayed() {
    let (server, tokens) = server(ApiRejection::GrpcStatus);
    let rejecting = layer(&server, &tokens)
        .reject_on(Rejection::grpc())
        .layer(server.service());
    assert_eq!(grpc(&rejecting).await, ("0".to_owned(), None));
    server.revoke_access_tokens();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let rejecting = rejecting.clone();
            tokio::spawn(async move { grpc(&rejecting).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic").0, "0");
    }
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_status_in_trailers_has_a_newer_token_there_for_the_next_call() {
    let (server, tokens) = server(ApiRejection::GrpcTrailers);
    let rejecting = layer(&server, &tokens)
        .reject_on(Rejection::grpc())
        .layer(server.service());
    assert_eq!(grpc(&rejecting).await, ("0".to_owned(), None));
    server.revoke_access_tokens();
    server.set_delay(secs(2));
    assert_eq!(grpc(&rejecting).await, ("16".to_owned(), None));
    // The trailers came with it.
    assert_eq!(tokens.status().generation, Some(2));
    assert_eq!(grpc(&rejecting).await, ("0".to_owned(), None));
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_api_whose_trailers_always_reject_is_no_load_on_the_token_endpoint() {
    let (server, tokens) = server(ApiRejection::GrpcTrailers);
    let rejecting = layer(&server, &tokens)
        .reject_on(Rejection::grpc())
        .layer(server.service());
    assert_eq!(grpc(&rejecting).await.0, "0");
    for _ in 0..50 {
        server.revoke_access_tokens();
        assert_eq!(grpc(&rejecting).await.0, "16");
    }
    // One renewal, and none that follows it while it is held.
    assert_eq!(server.token_requests(), 2);
    assert!(tokens.status().rejection_backoff.is_some());
    // A success in trailers ends that.
    sleep(secs(1)).await;
    assert_eq!(grpc(&rejecting).await.0, "16");
    assert_eq!(grpc(&rejecting).await.0, "0");
    assert_eq!(tokens.status().rejection_backoff, None);
}

/// A GraphQL call: whether the body rejects the token, and the token's handle.
async fn graphql<S>(api: &S) -> (bool, SentToken)
where
    S: Service<Request<Body>, Response = Response<MockBody>> + Clone,
    S::Error: std::fmt::Debug,
{
    let response = send(api).await;
    assert_eq!(response.status(), 200);
    let token = response.extensions().get::<SentToken>().cloned();
    let body = response.into_body().collect().await.expect("a body");
    let text = String::from_utf8(body.to_bytes().to_vec()).expect("text");
    (text.contains("UNAUTHENTICATED"), token.expect("a handle"))
}

fn graphql_api(
    server: &TokenServer,
    tokens: &TokenCache,
) -> impl Service<Request<Body>, Response = Response<MockBody>, Error: std::fmt::Debug> + Clone + use<>
{
    layer(server, tokens)
        .reject_on(Rejection::in_body())
        .layer(server.service())
}

#[tokio::test(start_paused = true)]
async fn what_a_body_says_rejects_exactly_the_token_that_was_sent() {
    let (server, tokens) = server(ApiRejection::GraphqlError);
    let api = graphql_api(&server, &tokens);
    let (rejected, first) = graphql(&api).await;
    assert!(!rejected);
    server.revoke_access_tokens();
    let (rejected, dead) = graphql(&api).await;
    assert!(rejected);
    assert!(dead.renew().await.expect("a newer token"));
    assert!(!graphql(&api).await.0);
    assert_eq!(server.token_requests(), 2);
    // Others that met the same, some long after: it was replaced already.
    for _ in 0..10 {
        assert!(dead.renew().await.expect("a newer token"));
        first.reject();
        sleep(secs(1)).await;
    }
    assert_eq!(tokens.status().generation, Some(2));
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_bodies_that_reject_a_token_cost_one_fetch() {
    let (server, tokens) = server(ApiRejection::GraphqlError);
    let api = graphql_api(&server, &tokens);
    let mut handles = Vec::new();
    for _ in 0..1000 {
        handles.push(graphql(&api).await.1);
    }
    let renewals: Vec<_> = handles
        .into_iter()
        .map(|handle| tokio::spawn(async move { handle.renew().await }))
        .collect();
    for renewal in renewals {
        assert!(renewal.await.expect("no panic").expect("a newer token"));
    }
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_reject_every_token_are_no_load_on_the_token_endpoint() {
    for accepts in [false, true] {
        let (server, tokens) = server(ApiRejection::GraphqlError);
        let api = graphql_api(&server, &tokens);
        let mut renewed = 0;
        for _ in 0..600 {
            let (_, handle) = graphql(&api).await;
            // One route takes the token that another one rejects.
            if accepts {
                handle.accept();
            }
            renewed += u64::from(handle.renew().await.expect("no failure"));
            sleep(secs(1) / 10).await;
        }
        // 60 s: a renewal, then holds of 1, 2, 4, 8, 16 and 32 s, each of which a
        // success may end early once.
        assert!(
            (2..=16).contains(&renewed),
            "{renewed} renewals in a minute"
        );
        assert_eq!(server.token_requests(), renewed + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refreshed_token_that_bodies_reject_leads_to_a_login() {
    let (server, tokens) = server(ApiRejection::GraphqlError);
    let api = graphql_api(&server, &tokens);
    assert!(!graphql(&api).await.0);
    sleep(secs(2800)).await;
    // Due: renewed in the background, by the refresh token.
    graphql(&api).await;
    sleep(secs(1)).await;
    assert_eq!(server.counts().refresh_grants, 1);
    let (_, refreshed) = graphql(&api).await;
    assert!(refreshed.renew().await.expect("a newer token"));
    assert_eq!(server.counts().password_grants, 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_our_token_has_no_handle() {
    let (server, tokens) = server(ApiRejection::GraphqlError);
    let api = graphql_api(&server, &tokens);
    let own = Request::get("http://localhost/").header("authorization", "Bearer own");
    let own = own.body(Body::default()).expect("a request");
    for request in [own, get("http://127.0.0.1/")] {
        let response = api.clone().oneshot(request).await.expect("an answer");
        assert!(response.extensions().get::<SentToken>().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_embedded_api_rejects_as_it_was_told() {
    for (rejection, status, challenge) in [
        (
            ApiRejection::BearerChallenge,
            401,
            Some(
                "Bearer realm=\"voipex\", error=\"invalid_token\", error_description=\"The token is not active\"",
            ),
        ),
        (
            ApiRejection::TokenChallenge,
            401,
            Some("Token error=\"Expired token\""),
        ),
        (ApiRejection::Forbidden, 403, None),
        (ApiRejection::GrpcStatus, 200, None),
        (ApiRejection::GrpcTrailers, 200, None),
        (ApiRejection::GraphqlError, 200, None),
    ] {
        let (server, tokens) = server(rejection);
        let token = tokens.token().await.expect("a token");
        let request = || {
            let request = Request::get("http://localhost/").header("authorization", token.header());
            request.body(Body::default()).expect("a request")
        };
        let response = server
            .service()
            .oneshot(request())
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200, "{rejection:?}");
        server.revoke_access_tokens();
        let response = server
            .service()
            .oneshot(request())
            .await
            .expect("an answer");
        let found = response.headers().get("www-authenticate");
        let found = found.map(|value| value.to_str().expect("text"));
        assert_eq!(
            (response.status().as_u16(), found),
            (status, challenge),
            "{rejection:?}"
        );
        let counts = server.counts();
        assert_eq!(
            (counts.api_ok, counts.api_unauthorized),
            (1, 1),
            "{rejection:?}"
        );
    }
}

/// Policies are types, so that the hot path has nothing to ask. They can be named.
#[test]
fn layers_of_every_policy_have_a_name() {
    struct Layers {
        _default: BearerAuthLayer,
        _statuses: BearerAuthLayer<CloneBody, Rejection<tower_bearer::rejection::Statuses>>,
        _grpc: BearerAuthLayer<NoReplay, Rejection<tower_bearer::rejection::Grpc>>,
    }
    let (server, tokens) = served(TokenServer::builder());
    let layer = layer(&server, &tokens);
    let _ = Layers {
        _default: layer.clone(),
        _statuses: layer.clone().reject_on(Rejection::statuses([403])),
        _grpc: layer.reject_on(Rejection::grpc()).replay(NoReplay),
    };
}
