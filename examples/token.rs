//! Requests a token as the documentation's curl command does, and prints the token
//! endpoint's response: `cargo run --example token`. Secrets are masked unless `--
//! --show` follows.
//!
//! With `VOIPEX_USERNAME` and `VOIPEX_PASSWORD` set, it calls the real service.

mod common;

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use http::Response;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use serde_json::Value;
use tower::{BoxError, ServiceBuilder};
use tower_bearer::testing::TokenServer;
use tower_bearer::transport::DefaultTransport;
use tower_bearer::{PasswordGrant, TokenSource};

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let s = TokenServer::start().await?;
    let account = match common::all_or_none(["VOIPEX_USERNAME", "VOIPEX_PASSWORD"]) {
        Some([username, password]) => PasswordGrant::voipex(username, password),
        None => PasswordGrant::new(s.token_url(), s.client_id(), s.username(), s.password())?,
    };

    // Token requests may go through any tower service. This one keeps a copy of the
    // response, of which a grant returns only what it needs.
    let copy = Arc::new(Mutex::new(Vec::new()));
    let seen = copy.clone();
    let look = move |answer: Response<UnsyncBoxBody<bytes::Bytes, BoxError>>| {
        seen.lock().expect("no panic").clear();
        answer.map(|body| {
            body.map_frame(move |frame| {
                let mut seen = seen.lock().expect("no panic");
                seen.extend(frame.data_ref().into_iter().flatten());
                frame
            })
        })
    };
    let transport = DefaultTransport::new();
    let transport = ServiceBuilder::new().map_response(look).service(transport);
    let token = account.transport(transport).fetch().await;

    let answer = copy.lock().expect("no panic").clone();
    match serde_json::from_slice(&answer) {
        Ok(json) if std::env::args().any(|arg| arg == "--show") => println!("{json}"),
        Ok(json) => println!("{}", masked(json)),
        Err(_) if answer.is_empty() => {}
        Err(_) => eprintln!("an answer of {} bytes that is no JSON", answer.len()),
    }
    Ok(match token {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("no token: {error}");
            eprintln!("because: {:?}", error.source());
            ExitCode::FAILURE
        }
    })
}

fn masked(mut answer: Value) -> Value {
    for (name, value) in answer.as_object_mut().into_iter().flatten() {
        if name.ends_with("_token") {
            *value = "*****".into();
        }
    }
    answer
}
