#!/usr/bin/env bash
# middle 0.4.0: what a renewal that fails does to the access token in use.
#
# Guess: nothing. The token is renewed 30 s before its end so that a renewal can fail, and
#        requests go on with it meanwhile.
# Seen:  the error takes the token's place: from the failed renewal on each request fails,
#        although the token has most of the 30 s left.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >Cargo.toml <<'TOML'
[package]
name = "failed-renewal"
version = "0.0.0"
edition = "2024"

[dependencies]
middle = { version = "=0.4.0", default-features = false, features = ["client-credentials", "runtime-tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "net", "rt", "time"] }
url = "2"
TOML
mkdir src
cat >src/main.rs <<'RS'
use std::time::{Duration, Instant};

use middle::{Authorizer, BasicClientCredentialAuthorizer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIFE: Duration = Duration::from_secs(34);

/// The first request is answered by a token, all others by 503.
async fn endpoint(listener: TcpListener) {
    let token = format!(
        r#"{{"access_token":"t1","token_type":"bearer","expires_in":{}}}"#,
        LIFE.as_secs()
    );
    let mut answers = vec![("200 OK", token.as_str())].into_iter();
    while let Ok((mut connection, _)) = listener.accept().await {
        let mut request = [0; 4096];
        let _ = connection.read(&mut request).await;
        let (status, body) = answers.next().unwrap_or(("503 Service Unavailable", "{}"));
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = connection.write_all(head.as_bytes()).await;
        let _ = connection.shutdown().await;
    }
}

async fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(endpoint(listener));
    let authorizer = BasicClientCredentialAuthorizer::basic_builder("client", "secret", url.parse().unwrap())
        .build()
        .await
        .unwrap();
    let start = Instant::now();
    println!("at first: {}", authorizer.authorization_header().is_ok());
    while authorizer.authorization_header().is_ok() && start.elapsed() < LIFE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left = LIFE.saturating_sub(start.elapsed());
    println!("failed with over 15 s of its life left: {}", left > Duration::from_secs(15));
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("3 s later: {}", authorizer.authorization_header().is_ok());
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}
RS
output=$(cargo run --quiet)
echo "$output"
[[ $output == 'at first: true
failed with over 15 s of its life left: true
3 s later: false' ]] || { echo "that has changed"; exit 1; }
