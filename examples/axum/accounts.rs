//! An axum app that serves many tenants, each with its own account at the API. It
//! makes a few hundred calls to itself and ends; with `-- --serve` it runs until
//! ctrl-c.

#[path = "../common/mod.rs"]
mod common;

use std::{sync::Arc, time::Duration};

use axum::extract::{Path, State};
use axum::{Router, response::IntoResponse, response::Response, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::{BoxError, Layer, ServiceExt};
use tower_bearer::accounts::AccountsBearerAuth;
use tower_bearer::testing::{TokenServer, TokenService};
use tower_bearer::{Accounts, AccountsLayer, Error, Origins};

const TENANTS: usize = 20;

/// The key of an account. The password of tenant 13 is wrong.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Tenant(String);

type Api = AccountsBearerAuth<TokenService, Tenant>;

async fn calls(State(api): State<Api>, Path(tenant): Path<String>) -> Response {
    let request = Request::get("http://localhost/calls").extension(Tenant(tenant));
    let request = request.body(Full::<Bytes>::default()).expect("valid");
    match api.oneshot(request).await {
        Ok(answer) => answer.status().into_response(),
        Err(Error::Token(e)) => (StatusCode::FORBIDDEN, e.to_string()).into_response(),
        Err(Error::Inner(_)) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let names = (0..TENANTS).map(|n| format!("tenant-{n}"));
    let server = names.fold(TokenServer::builder(), |server, name| {
        server.user(name, "secret")
    });
    let server = Arc::new(server.in_process());
    server.set_password("tenant-13", "another one");
    let grants = server.clone();
    let accounts = Accounts::builder(move |Tenant(name): Tenant| {
        let grants = grants.clone();
        async move {
            // Replaces a secret store.
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok::<_, BoxError>(grants.grant_for(name, "secret"))
        }
    });
    let accounts = accounts.capacity(1000).max_concurrent_fetches(8).build()?;
    let origins = Origins::only([server.api_url()])?;
    let api = AccountsLayer::new(accounts.clone(), origins).layer(server.service());
    let app = Router::new()
        .route("/{tenant}/calls", get(calls))
        .with_state(api);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    println!("{here}/tenant-0/calls");
    let stop = async move {
        tokio::select! { () = common::interrupted() => {} () = demo(here) => {} }
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    let (tenants, sessions) = (accounts.len(), server.counts().open_sessions);
    accounts.shutdown(Duration::from_secs(5)).await?;
    let (requests, left) = (server.token_requests(), server.counts().open_sessions);
    println!("tenants: {tenants}  token requests: {requests}  sessions: {sessions}  left: {left}");
    Ok(())
}

async fn demo(here: String) {
    if std::env::args().any(|arg| arg == "--serve") {
        std::future::pending().await
    }
    for n in (0..200).map(|n| n % TENANTS) {
        let answer = reqwest::get(format!("{here}/tenant-{n}/calls"))
            .await
            .expect("one");
        assert_eq!(answer.status() == StatusCode::FORBIDDEN, n == 13);
    }
}
