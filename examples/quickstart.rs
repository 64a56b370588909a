//! A thousand callers need a token at the same moment, and one token request
//! serves them all: `cargo run --example quickstart`.
//!
//! With `VOIPEX_USERNAME` and `VOIPEX_PASSWORD` set, ten callers call the real
//! service instead: its list of calls, or `VOIPEX_API_URL`.

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
    let env = common::all_or_none(["VOIPEX_USERNAME", "VOIPEX_PASSWORD"]);
    let embedded = env.is_none();
    let (account, api, callers) = match env {
        Some([user, password]) => (PasswordGrant::voipex(user, password), voipex_api(), 10),
        None => {
            let (url, client) = (s.token_url(), s.client_id());
            let account = PasswordGrant::new(url, client, s.username(), s.password())?;
            (account, s.api_url().to_owned(), 1000)
        }
    };

    // Token requests may go through any tower service. This one counts them, because
    // there may be no server to ask.
    let token_requests = Arc::new(AtomicU64::new(0));
    let counter = token_requests.clone();
    let count = move |request: Request<Full<Bytes>>| {
        counter.fetch_add(1, Relaxed);
        request
    };
    let transport = DefaultTransport::new();
    let account = account.transport(ServiceBuilder::new().map_request(count).service(transport));

    // The token may go only here. Requests to other origins pass without it.
    let origins = Origins::only([origin(&api)])
        .unwrap_or_else(|error| common::usage(&format!("VOIPEX_API_URL is no URL ({error})")));
    let layer = BearerAuthLayer::new(TokenCache::new(account), origins);

    let connector = HttpsConnectorBuilder::new().try_with_platform_verifier()?;
    let connector = connector.https_or_http().enable_all_versions().build();
    // HTTP/2 without TLS, so that one socket carries a thousand requests.
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

fn voipex_api() -> String {
    let url = std::env::var("VOIPEX_API_URL").unwrap_or_default();
    match url.is_empty() {
        true => "https://ipbxapi.voipex.io/calls".to_owned(),
        false => url,
    }
}

/// Returns the URL up to its path.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url[host..].find(['/', '?', '#']);
    path.map_or(url, |at| &url[..host + at])
}
