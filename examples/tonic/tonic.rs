//! A tonic `Channel` with the layer, against a gRPC server behind a gateway
//! that lets live tokens in and answers 401 to all others.

use axum::body::Body;
use axum::extract::State;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tonic::{Status, service::Routes, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use tower_bearer::testing::{TokenServer, TokenService};
use tower_bearer::{BearerAuthLayer, Origins, PasswordGrant, TokenCache};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let s = TokenServer::start().await?;
    let api = grpc_server(s.service()).await?;
    let account = PasswordGrant::new(s.token_url(), s.client_id(), s.username(), s.password())?;
    let layer = BearerAuthLayer::new(TokenCache::new(account), Origins::only([&api])?);
    let channel = Channel::from_shared(api.clone())?.connect_lazy();

    // tonic's body is not `Clone`. `layer.replay(EmptyBody)` is the short way:
    // a call that meets a 401 fails, and the next one has a new token. To be
    // sent again, a unary message is read first; it is in memory already.
    let service = ServiceBuilder::new()
        .layer(layer)
        .map_request(|request: Request<Full<Bytes>>| request.map(tonic::body::Body::new))
        .service(channel);
    let service = service_fn(move |request: Request<tonic::body::Body>| {
        let service = service.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = Full::new(body.collect().await?.to_bytes());
            let answer = service.oneshot(Request::from_parts(head, body)).await;
            answer.map_err(|error| Status::from_error(error.into()))
        }
    });

    // `with_origin` and not `new`, which leaves requests with a path only: the
    // layer must see where they go.
    let mut client = HealthClient::with_origin(service, api.parse()?);
    for call in 1..=2 {
        let answer = client.check(HealthCheckRequest::default()).await?;
        println!("call {call}: {:?}", answer.into_inner().status());
        s.revoke_access_tokens(); // the second call meets a 401
    }
    let seen = s.counts();
    let (ok, bad, fetched) = (seen.api_ok, seen.api_unauthorized, seen.token_requests);
    println!("api: {ok} ok, {bad} unauthorized  token requests: {fetched}");
    Ok(())
}

/// tonic's health service behind the gateway; its origin.
async fn grpc_server(tokens: TokenService) -> Result<String, BoxError> {
    let (_, health) = tonic_health::server::health_reporter();
    let app = Routes::new(health).into_axum_router();
    let app = app.layer(from_fn_with_state(tokens, gateway));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(origin)
}

/// Asks the embedded server whether the token is good.
async fn gateway(
    State(tokens): State<TokenService>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let question = Request::from_parts(head.clone(), String::new());
    match tokens.oneshot(question).await.expect("an answer") {
        answer if answer.status().is_success() => next.run(Request::from_parts(head, body)).await,
        answer => answer.map(Body::new),
    }
}
