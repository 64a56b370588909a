//! An axum app whose handlers call an API through the layer. It shows itself
//! with a few calls and ends; with `-- --serve` it stays up until ctrl-c.

mod common;

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, response::IntoResponse, response::Response, routing::get};
use http::{Method, StatusCode, header::RETRY_AFTER};
use reqwest::{Body, Client, Request, Url};
use tower::{BoxError, Layer, ServiceExt};
use tower_bearer::testing::{Answer, TokenServer};
use tower_bearer::{BearerAuth, BearerAuthLayer, Error, Origins, PasswordGrant, TokenCache};

async fn calls(State((api, url)): State<(BearerAuth<Client>, Url)>) -> Response {
    match api.oneshot(Request::new(Method::GET, url)).await {
        Ok(answer) if answer.status().is_success() => {
            let answer: http::Response<Body> = answer.into();
            answer.map(axum::body::Body::new)
        }
        Ok(_) | Err(Error::Inner(_)) => (StatusCode::BAD_GATEWAY, "the API fails").into_response(),
        Err(Error::Token(error)) => {
            let pause = error.retry_after().unwrap_or_default().as_secs() + 1;
            let head = [(RETRY_AFTER, pause.to_string())];
            (StatusCode::SERVICE_UNAVAILABLE, head, error.to_string()).into_response()
        }
    }
}

/// Ready while there is a valid token, which `keep_warm` sees to.
async fn readyz(State(tokens): State<TokenCache>) -> StatusCode {
    let token = tokens.status().generation;
    token.map_or(StatusCode::SERVICE_UNAVAILABLE, |_| StatusCode::OK)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let s = Arc::new(TokenServer::start().await?);
    s.script([Answer::status(StatusCode::SERVICE_UNAVAILABLE).retry_after("1")]);
    let account = PasswordGrant::new(s.token_url(), s.client_id(), s.username(), s.password())?;
    let tokens = TokenCache::new(account);
    tokens.keep_warm();
    let layer = BearerAuthLayer::new(tokens.clone(), Origins::only([s.api_url()])?);
    let state = (layer.layer(Client::new()), s.api_url().parse()?);
    let app = Router::new()
        .route("/calls", get(calls).with_state(state))
        .route("/readyz", get(readyz).with_state(tokens));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    println!("{here}/calls and {here}/readyz");
    let api = s.clone();
    let stop = async move {
        tokio::select! { () = common::interrupted() => {} () = demo(&api, here) => {} }
    };
    // Answers under way are finished before this returns.
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    println!("stopped, token requests: {}", s.token_requests());
    Ok(())
}

async fn demo(api: &TokenServer, here: String) {
    if std::env::args().any(|arg| arg == "--serve") {
        std::future::pending().await
    }
    let show = async |path: &str| {
        let answer = reqwest::get(format!("{here}{path}")).await.expect("one");
        let pause = answer.headers().get(RETRY_AFTER);
        println!("{path}: {} {pause:?}", answer.status());
    };
    show("/calls").await; // no token yet: the first token request fails
    show("/readyz").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    show("/readyz").await; // `keep_warm` tried again
    show("/calls").await;
    api.script_api([Answer::status(StatusCode::INTERNAL_SERVER_ERROR)]);
    show("/calls").await;
}
