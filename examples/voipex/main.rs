//! An axum app that serves the users of a company, and calls VoIPex as each of them:
//! one login, of an API access that may act for users, and one exchange for each
//! user.
//! `cargo run --features accounts,metrics --example voipex`
//!
//! It calls itself, against the embedded server, and ends. With `VOIPEX_USERNAME`
//! and `VOIPEX_PASSWORD` of an API access set it calls the real service until
//! ctrl-c, for the user named in the header `x-user`.

mod app;
#[path = "../common/mod.rs"]
mod common;
mod demo;

use std::{sync::Arc, time::Duration};

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{BoxError, Layer};
use tower_bearer::testing::{TokenServer, TokenServerBuilder};
use tower_bearer::{Accounts, AccountsLayer, BoxTokenSource, Origins, PasswordGrant};
use tower_bearer::{TokenCache, VoipexImpersonation};

use app::{App, Login};

const USERS: usize = 25;

fn login(number: usize) -> Login {
    Login(format!("user{number}@company.example"))
}

/// An embedded VoIPex: an access that may act for users, and the users.
async fn embedded() -> Result<Arc<TokenServer>, BoxError> {
    let access = "api@company.example";
    let server = TokenServer::builder().user(access, "secret");
    let server = server.impersonator(access).voipex_api();
    let add = |server: TokenServerBuilder, n| server.user(login(n).0, "unknown to the app");
    Ok(Arc::new((0..USERS).fold(server, add).start().await?))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let figures = PrometheusBuilder::new().install_recorder()?;
    let server = embedded().await?;
    let account = common::all_or_none(["VOIPEX_USERNAME", "VOIPEX_PASSWORD"]);
    let is_embedded = account.is_none();

    // The access: one cache, one login.
    let access = match account {
        Some([username, password]) => {
            BoxTokenSource::new(PasswordGrant::voipex(username, password))
        }
        None => BoxTokenSource::new(server.grant()),
    };
    let access = TokenCache::builder(access).label("access").build()?;
    access.keep_warm();

    // Its users: a cache for each login, created when first needed.
    let (acting, of_server) = (access.clone(), server.clone());
    let users = Accounts::builder(move |Login(login): Login| {
        let source = match is_embedded {
            true => BoxTokenSource::new(of_server.impersonation(&acting, login)),
            false => BoxTokenSource::new(VoipexImpersonation::new(acting.clone(), login)),
        };
        async { Ok::<_, BoxError>(source) }
    });
    let users = users.settings(|cache| cache.label("users"));
    let users = users.max_concurrent_fetches(8).build()?;

    let (origins, pbx, sms) = match is_embedded {
        true => (
            Origins::only([server.api_url()])?,
            server.api_url(),
            server.api_url(),
        ),
        false => (
            Origins::voipex(),
            "https://ipbxapi.voipex.io",
            "https://sms-api.voipex.io",
        ),
    };
    let connector = HttpsConnectorBuilder::new().try_with_platform_verifier()?;
    let connector = connector.https_or_http().enable_all_versions().build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let app = App {
        api: AccountsLayer::new(users.clone(), origins).layer(client),
        access: access.clone(),
        calls: format!("{pbx}/calls").parse()?,
        sms: format!("{sms}/SMS").parse()?,
    };

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    println!("{here}: /calls, /sms, /readyz and /metrics");
    let (counted, called) = tokio::sync::oneshot::channel();
    let embedded = is_embedded.then(|| server.clone());
    let demo = async move {
        match embedded {
            Some(server) => drop(counted.send(demo::run(&server, &here).await)),
            None => std::future::pending().await,
        }
    };
    let stop = async move {
        tokio::select! { () = common::interrupted() => {} () = demo => {} }
    };
    axum::serve(listener, app.router(move || figures.render()))
        .with_graceful_shutdown(stop)
        .await?;

    // After the last request: the sessions of the users, then that of the access.
    users.shutdown(Duration::from_secs(5)).await?;
    access.shutdown().await?;
    let Ok(demo::Calls { requests, failed }) = called.await else {
        return Ok(());
    };
    let counts = server.counts();
    let (logins, exchanges) = (counts.password_grants, counts.exchanges);
    println!("open sessions: {}", counts.open_sessions);
    println!(
        "users: {USERS}  logins: {logins}  exchanges: {exchanges}  requests: {requests}  failed: {failed}"
    );
    Ok(())
}
