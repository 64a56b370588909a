//! What a healed 401 costs in connections, over HTTP/1.1.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, Service, ServiceExt};

use tower_bearer::{AccessToken, BearerAuthLayer, Origins, Outcome, TokenCache};

use crate::common::{Count, get, millis};

/// How a 401 comes.
#[derive(Clone, Copy, Debug)]
enum Rejection {
    Whole(usize),
    /// The body in a packet of its own, so late.
    BodyLater(usize, Duration),
}

/// An API that rejects the first request to each path and takes the second.
struct Api {
    url: String,
    connections: Count,
}

impl Api {
    async fn start(rejection: Rejection) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (connections, seen) = (Count::default(), Arc::<Mutex<Vec<String>>>::default());
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.up();
                tokio::spawn(serve(stream, rejection, seen.clone()));
            }
        });
        Ok(Self { url, connections })
    }
}

async fn serve(
    mut stream: TcpStream,
    rejection: Rejection,
    seen: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut read, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&read);
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            match stream.read(&mut chunk).await? {
                0 => return Ok(()),
                more => read.extend_from_slice(&chunk[..more]),
            }
            continue;
        };
        let path = head.lines().next().unwrap_or_default().to_owned();
        assert!(head.to_ascii_lowercase().contains("authorization: bearer t"));
        let end = head.len() + 4;
        read.drain(..end);
        let first = {
            let mut seen = seen.lock().expect("no panic");
            let first = !seen.contains(&path);
            seen.push(path);
            first
        };
        if !first {
            let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(ok.as_bytes()).await?;
            continue;
        }
        let (length, later) = match rejection {
            Rejection::Whole(length) => (length, Duration::ZERO),
            Rejection::BodyLater(length, later) => (length, later),
        };
        let head = format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {length}\r\n\r\n");
        let body = "x".repeat(length);
        if later.is_zero() {
            stream.write_all((head + &body).as_bytes()).await?;
        } else {
            stream.write_all(head.as_bytes()).await?;
            stream.flush().await?;
            tokio::time::sleep(later).await;
            stream.write_all(body.as_bytes()).await?;
        }
    }
}

/// So many requests, each of which meets a 401 first, by so many callers at
/// once: how many connections they took.
async fn connections(rejection: Rejection, callers: usize, each: usize) -> usize {
    let api = Api::start(rejection).await.expect("a port");
    let fetches = Count::default();
    let tokens = TokenCache::new(move || {
        let number = fetches.up();
        async move { AccessToken::new(format!("t{number}")) }
    });
    let origins = Origins::only([&api.url]).expect("an origin");
    let connected = Count::default();
    let (mut http, count) = (HttpConnector::new(), connected.clone());
    http.set_nodelay(true);
    let connector = tower::service_fn(move |uri: Uri| {
        count.up();
        http.call(uri)
    });
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let client = BearerAuthLayer::new(tokens, origins).layer(client);
    let callers: Vec<_> = (0..callers)
        .map(|caller| {
            let (client, url) = (client.clone(), api.url.clone());
            tokio::spawn(async move {
                for number in 0..each {
                    let request = get(&format!("{url}/{caller}/{number}"));
                    let response = client.clone().oneshot(request).await.expect("an answer");
                    assert_eq!(response.status(), 200);
                    assert_eq!(response.extensions().get(), Some(&Outcome::Replayed));
                    response.into_body().collect().await.expect("a body");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    println!("{rejection:?}: {} connections", api.connections.get());
    api.connections.get()
}

#[tokio::test]
async fn ten_401s_that_are_healed_take_two_connections_at_the_most() {
    for rejection in [
        Rejection::Whole(0),
        Rejection::Whole(100),
        Rejection::Whole(200_000),
        Rejection::BodyLater(100, millis(10)),
        Rejection::BodyLater(200_000, millis(20)),
        Rejection::BodyLater(100, millis(50)),
    ] {
        let taken = connections(rejection, 1, 10).await;
        assert!(taken <= 2, "{rejection:?}: {taken}");
    }
}

#[tokio::test]
async fn a_storm_of_a_thousand_401s_takes_connections_for_five_percent_of_them_at_the_most() {
    for rejection in [
        Rejection::Whole(200_000),
        Rejection::BodyLater(100, millis(5)),
    ] {
        let taken = connections(rejection, 20, 50).await;
        assert!(taken <= 50, "{rejection:?}: {taken}");
    }
}
