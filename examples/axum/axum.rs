//! An axum app whose handlers call an API through the layer, with metrics for
//! Prometheus (a dashboard is in `observability/`). It calls itself and ends; with
//! `-- --serve` it runs until ctrl-c.

#[path = "../common/mod.rs"]
mod common;

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, response::IntoResponse, response::Response, routing::get};
use http::{Method, StatusCode, header::RETRY_AFTER};
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Client, Request, Url};
use tower::{BoxError, Layer, ServiceExt};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{BearerAuth, BearerAuthLayer, Error, Origins, TokenCache, TokenError};

async fn calls(State((api, url)): State<(BearerAuth<Client>, Url)>) -> Response {
    match api.oneshot(Request::new(Method::GET, url)).await {
        Ok(answer) => http::Response::from(answer).map(axum::body::Body::new),
        Err(Error::Token(error)) => unavailable(&error),
        Err(Error::Inner(_)) => (StatusCode::BAD_GATEWAY, "the API fails").into_response(),
    }
}

/// A probe alone makes the app ready: this starts a fetch if necessary.
async fn readyz(State(tokens): State<TokenCache>) -> Result<(), Response> {
    tokens.ready().map_err(|error| unavailable(&error))
}

fn unavailable(error: &TokenError) -> Response {
    let pause = error.retry_after().unwrap_or_default().as_secs_f64().ceil();
    let head = [(RETRY_AFTER, pause.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, head, error.to_string()).into_response()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let figures = PrometheusBuilder::new().install_recorder()?;
    let s = Arc::new(TokenServer::start().await?);
    s.token_endpoint()
        .enqueue([MockResponse::status(StatusCode::SERVICE_UNAVAILABLE).retry_after("1")]);
    let tokens = TokenCache::builder(s.grant()).label("calls").build()?;
    let layer = BearerAuthLayer::new(tokens.clone(), Origins::only([s.api_url()])?);
    let state = (layer.layer(Client::new()), s.api_url().parse()?);
    let app = Router::new()
        .route("/calls", get(calls).with_state(state))
        .route("/readyz", get(readyz).with_state(tokens.clone()))
        .route("/metrics", get(async move || figures.render()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    let api = s.clone();
    println!("{here}: /calls, /readyz and /metrics");
    let stop = async move {
        tokio::select! { () = common::interrupted() => {} () = demo(&api, here) => {} }
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    tokens.shutdown().await?;
    let (seen, open) = (s.token_requests(), s.counts().open_sessions);
    println!("stopped, token requests: {seen}, open sessions: {open}");
    Ok(())
}

async fn demo(api: &TokenServer, here: String) {
    if std::env::args().any(|arg| arg == "--serve") {
        std::future::pending().await
    }
    let show = async |path: &str| {
        let answer = reqwest::get(format!("{here}{path}")).await.expect("one");
        println!("{path}: {}", answer.status());
        answer.text().await.expect("text")
    };
    show("/readyz").await; // sets off a fetch, which fails
    tokio::time::sleep(Duration::from_secs(2)).await;
    show("/calls").await; // a login
    api.revoke_access_tokens();
    show("/calls").await; // a 401, and the request is sent again
    println!("{}", show("/metrics").await);
}
