//! A tonic `Channel` with the layer, against a gRPC server behind a gateway
//! that lets live tokens in and answers 401 to all others.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::AUTHORIZATION;
use http_body_util::{BodyExt, Full};
use tonic::{service::Routes, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{BoxError, ServiceBuilder, ServiceExt};
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
    // a call that meets a 401 then fails, and the next one has a new token. For
    // a replay, a unary message is read first, which costs little: it is in
    // memory already.
    let service = ServiceBuilder::new()
        .filter_async(|request: http::Request<tonic::body::Body>| async {
            let (head, body) = request.into_parts();
            let body = Full::new(body.collect().await?.to_bytes());
            Ok::<_, BoxError>(http::Request::from_parts(head, body))
        })
        .layer(layer)
        .map_request(|request: http::Request<Full<_>>| request.map(tonic::body::Body::new))
        .service(channel);

    // `with_origin` and not `new`, which leaves requests with a path only: the
    // layer must see where they go.
    let mut client = HealthClient::with_origin(service, api.parse()?);
    for call in ["first", "second", "with a revoked token"] {
        if call == "with a revoked token" {
            s.revoke_access_tokens();
        }
        let answer = client.check(HealthCheckRequest::default()).await?;
        println!("{call}: {:?}", answer.into_inner().status());
    }

    let seen = s.counts();
    println!(
        "api: {} ok, {} unauthorized  token requests: {}",
        seen.api_ok, seen.api_unauthorized, seen.token_requests
    );
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
async fn gateway(State(tokens): State<TokenService>, request: Request, next: Next) -> Response {
    let mut question = Request::new(Full::<bytes::Bytes>::default());
    if let Some(token) = request.headers().get(AUTHORIZATION) {
        question.headers_mut().insert(AUTHORIZATION, token.clone());
    }
    match tokens.oneshot(question).await {
        Ok(answer) if answer.status().is_success() => next.run(request).await,
        Ok(answer) => answer.map(Body::new),
        Err(_) => Response::default(),
    }
}
