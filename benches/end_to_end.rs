//! A hyper client against a server on loopback, with the layer and without.

#[path = "support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{BearerAuthLayer, NoReplay, Origins};

use crate::support::rounds::{Spread, interleave};
use crate::support::stack::{constant, live_cache};
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

const ROUNDS: usize = 41;
/// Requests under way at a time.
const CALLERS: usize = 32;
const SLICE: Duration = Duration::from_millis(300);

type HyperClient = Client<HttpConnector, Empty<Bytes>>;

fn main() {
    let (server, client) = (runtime(), runtime());
    let address = server.block_on(serve());
    let url = format!("http://{address}/v1/calls");
    let tokens = live_cache();
    client.block_on(tokens.token()).expect("a token");
    let origins = Origins::only([format!("http://{address}")]).expect("an origin");
    let layer = BearerAuthLayer::new(tokens, origins);
    let hyper = || Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();

    let without: HyperClient = hyper();
    let constant = constant().layer(hyper());
    let never = layer.clone().replay(NoReplay).layer(hyper());
    let cloning = layer.layer(hyper());
    let mut measures: Vec<Box<dyn FnMut() -> f64>> = vec![
        Box::new(|| client.block_on(rate(&without, &url))),
        Box::new(|| client.block_on(rate(&constant, &url))),
        Box::new(|| client.block_on(rate(&never, &url))),
        Box::new(|| client.block_on(rate(&cloning, &url))),
    ];
    let series = interleave(ROUNDS, &mut measures);
    drop(measures);

    heading("End to end", "cargo bench --bench end_to_end");
    println!(
        "Requests a second, {CALLERS} at a time, HTTP/1.1 on loopback, client and server with a \
         thread each: medians of {ROUNDS} interleaved rounds with their quartiles.\n"
    );
    let mut table = Table::new(&[
        "stack",
        "requests a second",
        "over no layer: 0.99 is the target",
        "",
        "over a constant header",
    ]);
    let names = [
        "hyper client",
        "with a constant header",
        "with the layer, `NoReplay`",
        "with the layer, `CloneBody`",
    ];
    for (which, name) in names.into_iter().enumerate() {
        let show = |ratio: Spread| ratio.show(3);
        let over_bare = series.ratio(which, 0);
        let layered = which >= 2;
        table.row(&[
            name.to_owned(),
            series.of(which).show(0),
            if which > 0 {
                show(over_bare)
            } else {
                String::new()
            },
            if layered {
                verdict(over_bare.median >= 0.99)
            } else {
                ""
            }
            .to_owned(),
            if layered {
                show(series.ratio(which, 1))
            } else {
                String::new()
            },
        ]);
    }
    table.print();
    println!(
        "Without the layer no token is sent: 1.1 KiB less for each request to write and to read. \
         The last column compares stacks that send the same bytes.\n"
    );
    let mut summary = Summary::new("end_to_end");
    summary.number("throughput_ratio", series.ratio(2, 0).median);
    summary.number("throughput_ratio_over_constant", series.ratio(2, 1).median);
    summary.number("throughput_ratio_clone_body", series.ratio(3, 0).median);
    summary.write();
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A server that answers every request at once.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("an open connection");
            tokio::spawn(async move {
                let answer = service_fn(async |_| {
                    let body = Full::new(Bytes::from_static(b"{\"ok\":true}"));
                    Ok::<_, Infallible>(Response::new(body))
                });
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

/// Requests a second over one slice of time.
async fn rate<S, B>(service: &S, url: &str) -> f64
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: std::fmt::Debug,
    S::Future: Send,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Debug,
{
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (mut service, url) = (service.clone(), url.to_owned());
            tokio::spawn(async move {
                let mut sent = 0u64;
                while start.elapsed() < SLICE {
                    let request = Request::get(&url)
                        .header(ACCEPT, "application/json")
                        .header(USER_AGENT, "bench/1.0")
                        .body(Empty::new())
                        .expect("a valid request");
                    let ready = service.ready().await.expect("ready");
                    let answer = ready.call(request).await.expect("an answer");
                    assert!(answer.status().is_success());
                    answer.into_body().collect().await.expect("a body");
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    let mut sent = 0;
    for caller in callers {
        sent += caller.await.expect("no panic");
    }
    sent as f64 / start.elapsed().as_secs_f64()
}
