//! How many connections a recovered 401 costs, over HTTP/1.1.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, ServiceExt};

use tower_bearer::{AccessToken, BearerAuthLayer, Origins, Outcome, TokenCache};

use crate::common::{Count, get, millis};

/// How a 401 comes.
#[derive(Clone, Copy, Debug)]
enum Rejection {
    Whole(usize),
    /// The body in a separate packet, this much later.
    BodyLater(usize, Duration),
}

/// An API that rejects the tokens up to a number.
struct Api {
    url: String,
    connections: Count,
    revoked: Count,
    rejections: Count,
}

impl Api {
    async fn start(rejection: Rejection) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (connections, revoked, rejections) = Default::default();
        let api = Self {
            url,
            connections,
            revoked,
            rejections,
        };
        let (counted, revoked) = (api.connections.clone(), api.revoked.clone());
        let rejections = api.rejections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.up();
                let (revoked, rejections) = (revoked.clone(), rejections.clone());
                tokio::spawn(serve(stream, rejection, revoked, rejections));
            }
        });
        Ok(api)
    }
}

async fn serve(
    mut stream: TcpStream,
    rejection: Rejection,
    revoked: Count,
    rejections: Count,
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
        let head = head.to_ascii_lowercase();
        let token = head
            .lines()
            .find_map(|it| it.strip_prefix("authorization: bearer t"));
        let token: usize = token.and_then(|it| it.parse().ok()).expect("a token");
        let end = head.len() + 4;
        read.drain(..end);
        if token > revoked.get() {
            let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(ok.as_bytes()).await?;
            continue;
        }
        rejections.up();
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

/// Makes rounds of this many concurrent calls. Before each round the token is
/// revoked, so that all of them meet a 401. Returns how many connections they took.
async fn connections(rejection: Rejection, callers: usize, rounds: usize) -> usize {
    let api = Api::start(rejection).await.expect("a port");
    let fetches = Count::default();
    let counted = fetches.clone();
    let tokens = TokenCache::new(move || {
        let number = counted.up();
        async move {
            // So that late calls do not meet the next token.
            tokio::time::sleep(millis(20)).await;
            AccessToken::new(format!("t{number}"))
        }
    });
    let origins = Origins::only([&api.url]).expect("an origin");
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = BearerAuthLayer::new(tokens.clone(), origins).layer(client);
    for round in 0..rounds {
        tokens.token().await.expect("a token");
        while api.revoked.get() < fetches.get() {
            api.revoked.up();
        }
        let callers: Vec<_> = (0..callers)
            .map(|_| {
                let (client, url) = (client.clone(), api.url.clone());
                tokio::spawn(async move {
                    let response = client.oneshot(get(&url)).await.expect("an answer");
                    assert_eq!(response.status(), 200);
                    let outcome = response.extensions().get().copied();
                    response.into_body().collect().await.expect("a body");
                    outcome
                })
            })
            .collect();
        for caller in callers {
            let outcome = caller.await.expect("no panic");
            assert_eq!(outcome, Some(Outcome::Replayed), "{round}");
        }
    }
    assert_eq!(api.rejections.get(), callers * rounds);
    assert_eq!(fetches.get(), rounds + 1);
    let taken = api.connections.get();
    println!(
        "{rejection:?}: {taken} connections for {} 401s",
        callers * rounds
    );
    taken
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
