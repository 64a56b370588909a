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
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{BearerAuthLayer, NoReplay, Origins};

use crate::support::rounds::Series;
use crate::support::stack::{constant, live_cache};
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

const ROUNDS: usize = 41;
/// Requests under way at a time.
const CALLERS: usize = 32;
/// Each round goes through all stacks this many times, for this long each:
/// disturbances of the machine affect all of them alike.
const TURNS: usize = 10;
const SLICE: Duration = Duration::from_millis(30);
/// Requests a second with the layer over those with a constant header.
const TARGET: f64 = 0.995;

const STACKS: [&str; 4] = [
    "hyper client",
    "with a constant header",
    "with the layer, `NoReplay`",
    "with the layer, `CloneBody`",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

impl Version {
    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }
}

fn main() {
    heading("End to end", "cargo bench --bench end_to_end");
    println!(
        "Requests per second, {CALLERS} at a time, on loopback, with one thread each for client \
         and server: medians of {ROUNDS} interleaved rounds, with quartiles. The last columns \
         compare stacks that send the same bytes; there the target is {TARGET}.\n"
    );
    let mut table = Table::new(&[
        "protocol",
        "stack",
        "requests per second",
        "ratio to no layer",
        "ratio to a constant header",
        "",
        "client's CPU time, ratio to a constant header",
    ]);
    let mut summary = Summary::new("end_to_end");
    for version in [Version::Http1, Version::Http2] {
        let (rates, costs) = measure(version);
        for (which, name) in STACKS.into_iter().enumerate() {
            let over = |other: usize| rates.ratio(which, other).show(3);
            let of_constant = rates.ratio(which, 1).median;
            let (layered, any) = (which >= 2, which >= 1);
            let if_so = |so: bool, text: String| if so { text } else { String::new() };
            table.row(&[
                version.name().to_owned(),
                name.to_owned(),
                rates.of(which).show(0),
                if_so(any, over(0)),
                if_so(layered, over(1)),
                if_so(layered, verdict(of_constant >= TARGET).to_owned()),
                if_so(layered, costs.ratio(which, 1).show(3)),
            ]);
        }
        let key = version.key();
        summary.number(format!("over_constant_{key}"), rates.ratio(2, 1).median);
        summary.number(
            format!("over_constant_{key}_clone_body"),
            rates.ratio(3, 1).median,
        );
        summary.number(
            format!("processor_time_over_constant_{key}"),
            costs.ratio(2, 1).median,
        );
        summary.number(format!("over_no_layer_{key}"), rates.ratio(2, 0).median);
        if version == Version::Http1 {
            summary.number("throughput_ratio", rates.ratio(2, 0).median);
            summary.number("throughput_ratio_over_constant", rates.ratio(2, 1).median);
            summary.number("throughput_ratio_clone_body", rates.ratio(3, 0).median);
        }
    }
    table.print();
    println!("Without a header, 1.1 KiB less is written and read per request.\n");
    summary.write();
}

type HyperClient = Client<HttpConnector, Empty<Bytes>>;

/// Requests a second, and nanoseconds of the client's thread for each.
fn measure(version: Version) -> (Series, Series) {
    let (server, client) = (runtime(), runtime());
    let address = server.block_on(serve(version));
    let url = format!("http://{address}/v1/calls");
    let tokens = live_cache();
    client.block_on(tokens.token()).expect("a token");
    let origins = Origins::only([format!("http://{address}")]).expect("an origin");
    let layer = BearerAuthLayer::new(tokens, origins);
    let hyper = || -> HyperClient {
        Client::builder(TokioExecutor::new())
            .http2_only(version == Version::Http2)
            .build_http()
    };
    let without = hyper();
    let constant = constant().layer(hyper());
    let never = layer.clone().replay(NoReplay).layer(hyper());
    let cloning = layer.layer(hyper());
    let stacks: [Box<dyn Fn() -> Slice>; STACKS.len()] = [
        Box::new(|| client.block_on(slice(&without, &url))),
        Box::new(|| client.block_on(slice(&constant, &url))),
        Box::new(|| client.block_on(slice(&never, &url))),
        Box::new(|| client.block_on(slice(&cloning, &url))),
    ];
    let mut rates = vec![Vec::with_capacity(ROUNDS); stacks.len()];
    let mut costs = rates.clone();
    for round in 0..=ROUNDS {
        let mut sums = [Slice::default(); STACKS.len()];
        for turn in 0..TURNS * STACKS.len() {
            let which = (round + turn + turn / STACKS.len()) % STACKS.len();
            sums[which].add(&stacks[which]());
        }
        // The first is to get warm.
        if round == 0 {
            continue;
        }
        for (which, sum) in sums.iter().enumerate() {
            rates[which].push(sum.requests as f64 / sum.time.as_secs_f64());
            costs[which].push(sum.busy as f64 / sum.requests as f64);
        }
    }
    (rates.into(), costs.into())
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A server that answers every request at once.
async fn serve(version: Version) -> SocketAddr {
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
                let stream = TokioIo::new(stream);
                let _ = match version {
                    Version::Http1 => http1::Builder::new().serve_connection(stream, answer).await,
                    Version::Http2 => {
                        let server = http2::Builder::new(TokioExecutor::new());
                        server.serve_connection(stream, answer).await
                    }
                };
            });
        }
    });
    address
}

/// What was done in a slice of time.
#[derive(Clone, Copy, Default)]
struct Slice {
    requests: u64,
    time: Duration,
    /// Nanoseconds that the client's thread ran.
    busy: u64,
}

impl Slice {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.time += other.time;
        self.busy += other.busy;
    }
}

async fn slice<S, B>(service: &S, url: &str) -> Slice
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: std::fmt::Debug,
    S::Future: Send,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Debug,
{
    let busy = async || tokio::spawn(async { busy() }).await.expect("no panic");
    let from = busy().await;
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (mut service, url) = (service.clone(), url.to_owned());
            tokio::spawn(async move {
                let mut sent = 0;
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
    let mut requests = 0;
    for caller in callers {
        requests += caller.await.expect("no panic");
    }
    let time = start.elapsed();
    let busy = busy().await - from;
    Slice {
        requests,
        time,
        busy,
    }
}

/// How long this thread has run on a processor, in nanoseconds; 0 where that is not
/// known.
fn busy() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.unwrap_or_default()
}
