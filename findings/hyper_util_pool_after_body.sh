#!/usr/bin/env bash
# hyper-util 0.1.21 with hyper 1.12.0: when a connection is free for the next request,
# on a runtime of one thread.
#
# Guess: once the body of the answer has been read to its end.
# Seen:  a task that hyper-util has spawned puts it back, and it runs after the task that
#        read the body. A request that is sent without a pause opens a connection of its
#        own, a second one; after one `yield_now` the first is used again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >Cargo.toml <<'TOML'
[package]
name = "pool"
version = "0.0.0"
edition = "2024"

[dependencies]
bytes = "1"
http-body-util = "=0.1.5"
hyper = "=1.12.0"
hyper-util = { version = "=0.1.21", features = ["client-legacy", "http1", "tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "net", "rt", "time"] }
TOML
mkdir src
cat >src/main.rs <<'RS'
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{spawn, yield_now};

/// Answers each request, the body in a packet of its own.
async fn serve(mut connection: TcpStream) {
    let mut request = [0; 1024];
    connection.set_nodelay(true).unwrap();
    while connection.read(&mut request).await.is_ok_and(|read| read > 0) {
        let head = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2000\r\n\r\n";
        connection.write_all(head).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        connection.write_all(&[b'x'; 2000]).await.unwrap();
    }
}

async fn connections(yields: bool) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let opened = std::rc::Rc::new(std::cell::Cell::new(0));
    let local = tokio::task::LocalSet::new();
    let count = opened.clone();
    local.spawn_local(async move {
        while let Ok((connection, _)) = listener.accept().await {
            count.set(count.get() + 1);
            spawn(serve(connection));
        }
    });
    let requests = spawn(async move {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        for _ in 0..2 {
            let answer = client.get(uri.parse().unwrap()).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 2000);
            if yields {
                yield_now().await;
            }
        }
    });
    local.run_until(requests).await.unwrap();
    opened.get()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for yields in [false, true] {
        println!("yield: {yields}, connections: {}", runtime.block_on(connections(yields)));
    }
}
RS
output=$(cargo run --quiet)
echo "$output"
[[ $output == 'yield: false, connections: 2
yield: true, connections: 1' ]] || { echo "that has changed"; exit 1; }
