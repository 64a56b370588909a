//! The layer under real clients, against the embedded server on real sockets.

#![cfg(all(feature = "testing", feature = "reqwest-middleware"))]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::extract::State;
use axum::middleware::{Next, from_fn_with_state};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_bearer::testing::{ApiRejection, MockResponse, TokenServer, TokenService};
use tower_bearer::{
    BearerAuthLayer, BufferBody, EmptyBody, NoReplay, Origins, Outcome, PasswordGrant, Rejection,
    TokenCache, TokenError, TokenErrorKind,
};

async fn server() -> TokenServer {
    TokenServer::start().await.expect("a server")
}

/// The default transport and the server's socket lie between grant and
/// endpoint.
fn layer(s: &TokenServer, api: &str) -> BearerAuthLayer {
    let grant = PasswordGrant::new(s.token_url(), s.client_id(), s.username(), s.password());
    let tokens = TokenCache::new(grant.expect("a grant"));
    BearerAuthLayer::new(tokens, Origins::only([api]).expect("an origin"))
}

/// The figures that a test is about: token requests, 200s and 401s.
fn counts(s: &TokenServer) -> (u64, u64, u64) {
    let counts = s.counts();
    (
        counts.token_requests,
        counts.api_ok,
        counts.api_unauthorized,
    )
}

/// Fifty callers at once, and all of them are served.
async fn herd<Fut>(call: impl Fn() -> Fut)
where
    Fut: Future<Output = StatusCode> + Send + 'static,
{
    let callers: Vec<_> = (0..50).map(|_| tokio::spawn(call())).collect();
    for caller in callers {
        assert_eq!(caller.await.expect("no panic"), StatusCode::OK);
    }
}

/// Cold callers share a token request; a revoked token costs one more, one 401
/// and no caller.
async fn contract<Fut>(s: &TokenServer, call: impl Fn() -> Fut)
where
    Fut: Future<Output = StatusCode> + Send + 'static,
{
    herd(&call).await;
    assert_eq!(counts(s), (1, 50, 0));
    s.revoke_access_tokens();
    assert_eq!(call().await, StatusCode::OK);
    assert_eq!(counts(s), (2, 51, 1));
    s.revoke_access_tokens();
    herd(&call).await;
    let (token_requests, ok, _) = counts(s);
    assert_eq!((token_requests, ok), (3, 101));
}

async fn hyper(http2: bool) {
    let s = server().await;
    let api = s.api_url().to_owned();
    let client = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http();
    let service = ServiceBuilder::new().layer(layer(&s, &api)).service(client);
    contract(&s, || {
        let request = Request::post(&api).body(Full::<Bytes>::from("a body"));
        let call = service.clone().oneshot(request.expect("a request"));
        async { call.await.expect("an answer").status() }
    })
    .await;
}

#[tokio::test]
async fn hyper_over_http1() {
    hyper(false).await;
}

#[tokio::test]
async fn hyper_over_http2() {
    hyper(true).await;
}

#[tokio::test]
async fn reqwest_as_a_tower_service() {
    let s = server().await;
    let api = s.api_url().to_owned();
    let client = reqwest::Client::new();
    let service = ServiceBuilder::new()
        .layer(layer(&s, &api))
        .service(client.clone());
    contract(&s, || {
        let request = client.post(&api).body("a body").build();
        let call = service.clone().oneshot(request.expect("a request"));
        async { call.await.expect("an answer").status() }
    })
    .await;
}

#[tokio::test]
async fn reqwest_with_a_stream_sends_it_once() {
    let s = server().await;
    let client = reqwest::Client::new();
    let service = ServiceBuilder::new()
        .layer(layer(&s, s.api_url()))
        .service(client.clone());
    let call = async || {
        let body = reqwest::Body::wrap(Full::<Bytes>::from("a stream"));
        let request = client
            .post(s.api_url())
            .body(body)
            .build()
            .expect("a request");
        service.clone().oneshot(request).await.expect("an answer")
    };
    assert_eq!(call().await.status(), StatusCode::OK);
    s.revoke_access_tokens();
    let response = call().await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.extensions().get(), Some(&Outcome::NotCopied));
    assert_eq!(call().await.status(), StatusCode::OK);
    assert_eq!(counts(&s), (2, 2, 1));
}

/// A body of this many frames, none of which is ready at once.
struct Frames(usize, bool);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<http_body::Frame<Bytes>>>> {
        self.1 = !self.1;
        if self.1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(left) = self.0.checked_sub(1) else {
            return Poll::Ready(None);
        };
        self.0 = left;
        let frame = http_body::Frame::data(Bytes::from_static(b"a frame"));
        Poll::Ready(Some(Ok(frame)))
    }
}

fn stream(frames: usize) -> reqwest::Body {
    reqwest::Body::wrap(Frames(frames, false))
}

#[tokio::test]
async fn reqwest_with_a_small_stream_that_is_kept_sends_it_again() {
    let s = server().await;
    let client = reqwest::Client::new();
    let service = ServiceBuilder::new()
        .layer(layer(&s, s.api_url()).replay(BufferBody::up_to(1024)))
        .service(client.clone());
    let call = async |frames| {
        let request = client.post(s.api_url()).body(stream(frames));
        let request = request.build().expect("a request");
        service.clone().oneshot(request).await.expect("an answer")
    };
    assert_eq!(call(2).await.status(), StatusCode::OK);
    s.revoke_access_tokens();
    s.api()
        .enqueue([MockResponse::default(), MockResponse::echo()]);
    let response = call(3).await;
    assert_eq!(response.extensions().get(), Some(&Outcome::Replayed));
    assert_eq!(response.text().await.expect("a body"), "a frame".repeat(3));
    assert_eq!(counts(&s), (2, 2, 1));
}

#[tokio::test]
async fn reqwest_middleware_sends_a_small_stream_that_is_kept_again() {
    let s = server().await;
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(layer(&s, s.api_url()).replay(BufferBody::up_to(1024)))
        .build();
    let call = || client.post(s.api_url()).body(stream(3)).send();
    assert_eq!(call().await.expect("an answer").status(), StatusCode::OK);
    s.revoke_access_tokens();
    s.api()
        .enqueue([MockResponse::default(), MockResponse::echo()]);
    let response = call().await.expect("an answer");
    assert_eq!(response.extensions().get(), Some(&Outcome::Replayed));
    assert_eq!(response.text().await.expect("a body"), "a frame".repeat(3));
    assert_eq!(counts(&s), (2, 2, 1));
}

#[tokio::test]
async fn reqwest_middleware_rejects_by_the_same_policies() {
    let s = TokenServer::builder()
        .api_rejection(ApiRejection::Forbidden)
        .start()
        .await
        .expect("a server");
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(layer(&s, s.api_url()).reject_on(Rejection::statuses([403])))
        .build();
    contract(&s, || {
        let call = client.get(s.api_url()).send();
        async { call.await.expect("an answer").status() }
    })
    .await;
}

#[tokio::test]
async fn reqwest_middleware() {
    let s = server().await;
    let api = s.api_url().to_owned();
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(layer(&s, &api))
        .build();
    contract(&s, || {
        let call = client.post(&api).body("a body").send();
        async { call.await.expect("an answer").status() }
    })
    .await;
}

#[tokio::test]
async fn reqwest_middleware_gives_a_token_error_back() {
    let s = server().await;
    s.token_endpoint().set_default(MockResponse::error(
        StatusCode::BAD_REQUEST,
        "invalid_grant",
    ));
    let retries = reqwest_retry::policies::ExponentialBackoff::builder();
    let retries = retries.build_with_max_retries(3);
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(reqwest_retry::RetryTransientMiddleware::new_with_policy(
            retries,
        ))
        .with(layer(&s, s.api_url()))
        .build();
    let error = client.get(s.api_url()).send().await.expect_err("refused");
    let error = TokenError::find(&error).expect("a token's error");
    assert_eq!(error.kind(), TokenErrorKind::Refused);
    // Retries stand above and leave it alone.
    assert_eq!(counts(&s), (1, 0, 0));
}

/// Lets a request in if the embedded server takes its token.
async fn gate(
    State(tokens): State<TokenService>,
    request: axum::extract::Request,
    next: Next,
) -> axum::response::Response {
    let mut question = Request::new(Full::<Bytes>::default());
    for token in request.headers().get_all(AUTHORIZATION) {
        question.headers_mut().append(AUTHORIZATION, token.clone());
    }
    let verdict = tokens.oneshot(question).await.expect("an answer");
    match verdict.status() {
        StatusCode::OK => next.run(request).await,
        // tonic reads the body of a 401 as if it were a message.
        _ => verdict.map(|_| axum::body::Body::empty()),
    }
}

/// A gRPC server behind the gate; its origin.
async fn grpc(s: &TokenServer) -> String {
    let (_, health) = tonic_health::server::health_reporter();
    let app = tonic::service::Routes::new(health)
        .into_axum_router()
        .layer(from_fn_with_state(s.service(), gate));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async { axum::serve(listener, app).await });
    origin
}

fn channel(origin: &str) -> Channel {
    Channel::from_shared(origin.to_owned())
        .expect("an origin")
        .connect_lazy()
}

/// The result of a gRPC call, as an HTTP status.
fn status<T>(answer: Result<T, tonic::Status>) -> StatusCode {
    match answer {
        Ok(_) => StatusCode::OK,
        Err(status) if status.code() == tonic::Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Err(status) => panic!("{status:?}"),
    }
}

#[tokio::test]
async fn tonic_with_its_own_body() {
    let s = server().await;
    let origin = grpc(&s).await;
    let layer = layer(&s, &origin).replay(EmptyBody);
    let service = ServiceBuilder::new().layer(layer).service(channel(&origin));
    let client = HealthClient::with_origin(service, origin.parse().expect("a URI"));
    let call = || {
        let mut client = client.clone();
        async move { status(client.check(HealthCheckRequest::default()).await) }
    };
    herd(call).await;
    assert_eq!(counts(&s), (1, 50, 0));
    // A message cannot be copied, so its caller sees the 401, and only he.
    s.revoke_access_tokens();
    assert_eq!(call().await, StatusCode::UNAUTHORIZED);
    assert_eq!(call().await, StatusCode::OK);
    assert_eq!(counts(&s), (2, 51, 1));
}

/// Whether the embedded server takes the token of a gRPC request.
fn takes(tokens: &TokenService, request: &tonic::Request<()>) -> bool {
    let mut question = Request::new(Full::<Bytes>::default());
    let token = request.metadata().get("authorization");
    if let Some(token) = token.and_then(|token| token.to_str().ok()) {
        let value = token.parse().expect("a value");
        question.headers_mut().insert(AUTHORIZATION, value);
    }
    let mut answer = Box::pin(tokens.clone().oneshot(question));
    let mut context = Context::from_waker(Waker::noop());
    match answer.as_mut().poll(&mut context) {
        Poll::Ready(answer) => answer.expect("an answer").status() == StatusCode::OK,
        Poll::Pending => panic!("it answers at once"),
    }
}

/// A tonic server whose interceptor rejects tokens; its origin.
async fn intercepted(s: &TokenServer) -> String {
    let (_, health) = tonic_health::server::health_reporter();
    let tokens = s.service();
    let check = move |request: tonic::Request<()>| match takes(&tokens, &request) {
        true => Ok(request),
        false => Err(tonic::Status::unauthenticated("expired")),
    };
    let health = tonic::service::interceptor::InterceptedService::new(health, check);
    let app = tonic::service::Routes::new(health).into_axum_router();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async { axum::serve(listener, app).await });
    origin
}

/// The layer for a client that is bound to one server, which sends paths only.
fn grpc_layer(
    s: &TokenServer,
    origin: &str,
) -> BearerAuthLayer<BufferBody<tonic::body::Body>, Rejection<tower_bearer::rejection::Grpc>> {
    let tokens = TokenCache::new(s.grant());
    let origins = Origins::only([origin]).and_then(|it| it.for_relative_uris(origin));
    BearerAuthLayer::new(tokens, origins.expect("an origin"))
        .replay(BufferBody::up_to(64 * 1024).boxed_by(tonic::body::Body::new))
        .reject_on(Rejection::grpc())
}

#[tokio::test]
async fn a_unary_call_of_tonic_whose_token_was_revoked_succeeds() {
    let s = server().await;
    let origin = intercepted(&s).await;
    let service = ServiceBuilder::new()
        .layer(grpc_layer(&s, &origin))
        .service(channel(&origin));
    let client = HealthClient::new(service);
    contract(&s, || {
        let mut client = client.clone();
        async move { status(client.check(HealthCheckRequest::default()).await) }
    })
    .await;
}

#[tokio::test]
async fn a_message_too_long_to_be_kept_is_rejected_and_the_next_call_has_a_newer_token() {
    let s = server().await;
    let origin = intercepted(&s).await;
    let buffer = BufferBody::up_to(10).boxed_by(tonic::body::Body::new);
    let service = ServiceBuilder::new()
        .layer(grpc_layer(&s, &origin).replay(buffer))
        .service(channel(&origin));
    let client = HealthClient::new(service);
    let call = |service: &str| {
        let (mut client, service) = (client.clone(), service.to_owned());
        async move {
            let answer = client.check(HealthCheckRequest { service }).await;
            answer.map_err(|status| status.code())
        }
    };
    call("").await.expect("an answer");
    s.revoke_access_tokens();
    let rejected = call("a name of some length").await.expect_err("rejected");
    assert_eq!(rejected, tonic::Code::Unauthenticated);
    call("").await.expect("an answer");
    assert_eq!(counts(&s), (2, 2, 1));
}

#[tokio::test]
async fn status_16_in_trailers_of_tonic_has_a_newer_token_there_for_the_next_call() {
    let s = TokenServer::builder()
        .api_rejection(ApiRejection::GrpcTrailers)
        .start()
        .await
        .expect("a server");
    let service = ServiceBuilder::new()
        .layer(grpc_layer(&s, s.api_url()))
        .service(channel(s.api_url()));
    let mut client = HealthClient::new(service);
    let mut call = async || status(client.check(HealthCheckRequest::default()).await);
    assert_eq!(call().await, StatusCode::OK);
    s.revoke_access_tokens();
    assert_eq!(call().await, StatusCode::UNAUTHORIZED);
    assert_eq!(call().await, StatusCode::OK);
    assert_eq!(counts(&s), (2, 2, 1));
}

#[tokio::test]
async fn tonic_with_messages_that_are_read_first() {
    let s = server().await;
    let origin = grpc(&s).await;
    let service = ServiceBuilder::new()
        .layer(layer(&s, &origin))
        .map_request(|request: Request<Full<Bytes>>| request.map(tonic::body::Body::new))
        .service(channel(&origin));
    let service = service_fn(move |request: Request<tonic::body::Body>| {
        let service = service.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = Full::new(body.collect().await?.to_bytes());
            let answer = service.oneshot(Request::from_parts(head, body)).await;
            answer.map_err(|error| tonic::Status::from_error(error.into()))
        }
    });
    let client = HealthClient::with_origin(service, origin.parse().expect("a URI"));
    contract(&s, || {
        let mut client = client.clone();
        async move { status(client.check(HealthCheckRequest::default()).await) }
    })
    .await;
}

#[tokio::test]
async fn tonic_without_an_origin_is_told_what_it_lacks() {
    let s = server().await;
    let layer = layer(&s, s.api_url()).replay(NoReplay);
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(channel(s.api_url()));
    let mut client = HealthClient::new(service);
    let error = client
        .check(HealthCheckRequest::default())
        .await
        .expect_err("no origin");
    let error = TokenError::find(&error).expect("a token's error");
    assert!(error.to_string().contains("with_origin"), "{error:?}");
    assert_eq!(error.kind(), TokenErrorKind::RelativeUri);
    assert_eq!(counts(&s), (0, 0, 0));
}

#[tokio::test]
async fn an_axum_router_as_the_inner_service() {
    let s = server().await;
    let router = Router::new()
        .fallback(|| async { "let in" })
        .layer(from_fn_with_state(s.service(), gate));
    let layer = layer(&s, "https://api.test").replay(EmptyBody);
    let service = ServiceBuilder::new().layer(layer).service(router);
    contract(&s, || {
        let request = Request::get("https://api.test/calls").body(axum::body::Body::empty());
        let call = service.clone().oneshot(request.expect("a request"));
        async { call.await.expect("an answer").status() }
    })
    .await;
}
