//! How many connections a storm of 401s costs.
//!
//! `cargo bench --bench storm` prints it; `-- --check` fails if it exceeds its
//! bound.

mod api;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{AccessToken, BearerAuthLayer, Origins, TokenCache};

use crate::api::{Api, BETWEEN};
use crate::support::BoxError;
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

const REQUESTS: u64 = 1000;
/// How many requests are in progress at a time, all of which meet the same rejected
/// token. The target and the check are about the first.
const SHAPES: [u64; 2] = [20, 100];
/// Connections of a storm over those where each 401 costs one.
const TARGET: f64 = 0.05;
/// How many more connections than without rejections the check permits, with one
/// thread: there were none when this was set.
const BOUND: f64 = 5.0;

/// What becomes of the token, and of the responses that reject it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// The API takes the token all the time.
    Plain,
    /// It is rejected, and the layer sees the response as it is.
    Storm,
    /// It is rejected, and the response's body is dropped before the layer sees it,
    /// as the layer itself did with it at first.
    Dropped,
}

use Load::{Dropped, Plain, Storm};

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--check") {
        return check();
    }
    heading("Storm", "cargo bench --bench storm");
    println!(
        "Connections opened by {REQUESTS} requests of a hyper client, with HTTP/1.1 on loopback. \
         In a storm, each request is rejected once, by a 401 whose body of 2 kB comes {BETWEEN:?} \
         after its head. \"Dropped\" is the same storm, but that body is dropped before the layer \
         sees it, as the layer itself did at first. The target is {TARGET} of \"dropped\".\n"
    );
    let mut table = Table::new(&[
        "requests at a time",
        "client threads",
        "no rejections",
        "storm",
        "dropped",
        "added by 1000 rejections",
        "added if dropped",
        "storm / dropped",
        "",
    ]);
    let mut summary = Summary::new("storm");
    for at_a_time in SHAPES {
        for threads in [1, 2] {
            let counts = Counts::count(at_a_time, threads);
            // With more at a time, most connections are there for no rejection.
            let main = at_a_time == SHAPES[0];
            table.row(&[
                at_a_time.to_string(),
                threads.to_string(),
                counts.plain.to_string(),
                counts.storm.to_string(),
                counts.dropped.to_string(),
                format!("{:+}", counts.storm - counts.plain),
                format!("{:+}", counts.dropped - counts.plain),
                format!("{:.3}", counts.ratio()),
                match main {
                    true => verdict(counts.ratio() <= TARGET).to_owned(),
                    false => String::new(),
                },
            ]);
            if main && threads == 1 {
                summary.number("connection_ratio", counts.ratio());
                summary.number("connections", counts.storm);
                summary.number(
                    "connections_over_no_rejections",
                    counts.storm / counts.plain,
                );
                summary.number("connections_if_dropped", counts.dropped);
            }
            let key = format!("surplus_{at_a_time}_at_a_time_{threads}_threads");
            summary.number(key, counts.storm - counts.plain);
        }
    }
    table.print();
    summary.write();
    ExitCode::SUCCESS
}

/// The regression guard: with one thread the count is exact.
fn check() -> ExitCode {
    let counts = Counts::count(SHAPES[0], 1);
    println!("{counts:?}, connection_ratio {:.3}", counts.ratio());
    // If a dropped body costs no connection, nothing was measured.
    let measured = counts.dropped >= REQUESTS as f64 * 0.8;
    let kept = counts.storm <= counts.plain + BOUND && counts.ratio() <= TARGET;
    match measured && kept {
        true => ExitCode::SUCCESS,
        false => {
            eprintln!(
                "{}",
                if kept {
                    "nothing was measured"
                } else {
                    "EXCEEDED"
                }
            );
            ExitCode::FAILURE
        }
    }
}

/// Connections that the loads opened.
#[derive(Debug)]
struct Counts {
    plain: f64,
    storm: f64,
    dropped: f64,
}

impl Counts {
    fn count(at_a_time: u64, threads: usize) -> Self {
        let [plain, storm, dropped] =
            [Plain, Storm, Dropped].map(|load| connections(load, at_a_time, threads));
        Self {
            plain,
            storm,
            dropped,
        }
    }

    fn ratio(&self) -> f64 {
        self.storm / self.dropped
    }
}

/// How many connections a load opens.
fn connections(load: Load, at_a_time: u64, threads: usize) -> f64 {
    let server = multi_thread(1);
    let client = match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        _ => Ok(multi_thread(threads)),
    };
    let client = client.expect("a runtime");
    let (api, address) = server.block_on(Api::start());
    client.block_on(run(load, at_a_time, &api, address));
    // Those that the client was about to open.
    std::thread::sleep(Duration::from_millis(100));
    api.connections.load(SeqCst) as f64
}

fn multi_thread(threads: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn run(load: Load, at_a_time: u64, api: &Arc<Api>, address: SocketAddr) {
    let of = api.clone();
    let tokens = TokenCache::new(move || {
        let of = of.clone();
        async move {
            // A token is fetched when the one before was rejected for all, so that none
            // of them gets a newer one too early.
            while of.rejected.load(SeqCst) < of.revocations() * at_a_time {
                sleep(Duration::from_millis(1)).await;
            }
            let token = AccessToken::new(of.token()).map_err(BoxError::from);
            token.map(|it| it.with_lifetime(LIFETIME))
        }
    });
    tokens.token().await.expect("a token");
    let origins = Origins::only([format!("http://{address}")]).expect("an origin");
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let client = client.map_response(move |response: Response<Incoming>| {
        let rejected = response.status() == StatusCode::UNAUTHORIZED;
        response.map(|body| match rejected && load == Dropped {
            true => Either::Right(Empty::<Bytes>::new()),
            false => Either::Left(body),
        })
    });
    let service = BearerAuthLayer::new(tokens, origins).layer(client);
    for _ in 0..REQUESTS / at_a_time {
        if load != Plain {
            api.revoke();
        }
        let mut requests = JoinSet::new();
        for _ in 0..at_a_time {
            requests.spawn(send(service.clone(), format!("http://{address}/v1/calls")));
        }
        requests.join_all().await;
    }
    let rejected = if load == Plain { 0 } else { REQUESTS };
    assert_eq!(api.rejected.load(SeqCst), rejected, "{load:?}");
    assert_eq!(api.accepted.load(SeqCst), REQUESTS, "{load:?}");
}

const LIFETIME: Duration = Duration::from_secs(3600);

async fn send<S, B>(service: S, url: String)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: hyper::body::Body,
    B::Error: std::fmt::Debug,
{
    let request = Request::get(url).body(Empty::new());
    let request = request.expect("a valid request");
    let answer = service.oneshot(request).await.expect("an answer");
    assert!(answer.status().is_success());
    answer.into_body().collect().await.expect("a body");
}
