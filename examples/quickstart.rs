//! A thousand callers need a token at the same moment, and one token request
//! serves them all: `cargo run --example quickstart`.
//!
//! With `VOIPEX_USERNAME`, `VOIPEX_PASSWORD` and `VOIPEX_API_URL` (the API's
//! origin) set, ten callers call the real service instead.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::task::JoinSet;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_bearer::testing::TokenServer;
use tower_bearer::transport::DefaultTransport;
use tower_bearer::{BearerAuthLayer, Origins, PasswordGrant, TokenCache};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let s = TokenServer::start().await?;
    let env = common::all_or_none(["VOIPEX_USERNAME", "VOIPEX_PASSWORD", "VOIPEX_API_URL"]);
    let embedded = env.is_none();
    let (account, api, callers) = match env {
        Some([user, password, api]) => (PasswordGrant::voipex(user, password), api, 10),
        None => {
            let (url, client) = (s.token_url(), s.client_id());
            let account = PasswordGrant::new(url, client, s.username(), s.password())?;
            (account, s.api_url().to_owned(), 1000)
        }
    };

    // Token requests may go through any tower service. This one counts them,
    // for where there is no server to ask.
    let token_requests = Arc::new(AtomicU64::new(0));
    let counter = token_requests.clone();
    let count = move |request: Request<Full<Bytes>>| {
        counter.fetch_add(1, Relaxed);
        request
    };
    let transport = DefaultTransport::new();
    let account = account.transport(ServiceBuilder::new().map_request(count).service(transport));

    // Where the token may go. Requests to anywhere else pass without it.
    let origins = Origins::only([&api])
        .unwrap_or_else(|error| common::usage(&format!("VOIPEX_API_URL is no origin ({error})")));
    let layer = BearerAuthLayer::new(TokenCache::new(account), origins);

    let connector = HttpsConnectorBuilder::new().try_with_platform_verifier()?;
    let connector = connector.https_or_http().enable_all_versions().build();
    // HTTP/2 without TLS, so that a thousand requests fit into one socket.
    let mut client = Client::builder(TokioExecutor::new());
    let client = client.http2_only(embedded).build(connector);
    let service = ServiceBuilder::new().layer(layer).service(client);
    let mut calls = JoinSet::new();
    for _ in 0..callers {
        let request = Request::get(&api).body(Full::<Bytes>::default())?;
        calls.spawn(service.clone().oneshot(request));
    }
    let mut ok = 0;
    for answer in calls.join_all().await {
        match answer {
            Ok(response) if response.status().is_success() => ok += 1,
            Ok(response) => eprintln!("{}", response.status()),
            Err(error) => eprintln!("{error}"),
        }
    }
    let (requests, ok) = match embedded {
        true => (s.token_requests(), s.counts().api_ok),
        false => (token_requests.load(Relaxed), ok),
    };
    let failed = callers - ok;
    println!("callers: {callers}  token requests: {requests}  ok: {ok}  failed: {failed}");
    std::process::exit((failed > 0).into())
}
