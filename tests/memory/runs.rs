//! What programs do with a password, and what they leave in memory.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt};
use tower_bearer::transport::Transport;
use tower_bearer::{BearerAuthLayer, BoxError, Origins, Outcome, PasswordGrant, TokenCache};
use zeroize::Zeroizing;

use crate::marks::Mark;
use crate::scan;

const CLIENT: &str = "api";

/// How often each secret was in memory while its cache existed, and afterwards.
pub(crate) struct Run {
    way: &'static str,
    names: [&'static str; 7],
    before: Vec<usize>,
    after: Vec<usize>,
}

impl Run {
    pub(crate) fn left(&self) -> usize {
        self.after.iter().sum()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.way)?;
        for ((name, before), after) in self.names.iter().zip(&self.before).zip(&self.after) {
            write!(f, " {name} {before} -> {after},")?;
        }
        write!(f, " left in all: {}", self.left())
    }
}

struct Secrets {
    password: Mark,
    client: Mark,
    tokens: [Mark; 2],
    refresh: Mark,
}

impl Secrets {
    fn new() -> Self {
        Self {
            password: Mark::new(b'&'),
            client: Mark::new(b'&'),
            tokens: [Mark::new(b'/'), Mark::new(b'+')],
            refresh: Mark::new(b' '),
        }
    }

    /// Returns a failure whose error code is compared with the secrets, then two tokens
    /// whose JSON escapes more than it must. They are wiped when dropped.
    fn answers(&self) -> [Bytes; 3] {
        let busy = Bytes::from_static(br#"{"error":"too_busy"}"#);
        [busy, self.answer(0, r"\/"), self.answer(1, r"\u002B")]
    }

    fn answer(&self, number: usize, escape: &str) -> Bytes {
        let token = Zeroizing::new(self.tokens[number].escaped(escape).reveal());
        let refresh = Zeroizing::new(self.refresh.reveal());
        let mut answer = Zeroizing::new(String::with_capacity(200));
        for part in [
            r#"{"access_token":""#,
            &token,
            r#"","refresh_token":""#,
            &refresh,
            r#""}"#,
        ] {
            answer.push_str(part);
        }
        Bytes::from_owner(Zeroizing::new(std::mem::take(&mut *answer).into_bytes()))
    }

    fn counts(&self) -> Vec<usize> {
        scan::count(&[
            &self.password,
            &self.password.escaped("%26"),
            &self.client,
            &self.client.in_basic(CLIENT),
            &self.tokens[0].tail(),
            &self.tokens[1].tail(),
            &self.refresh.tail(),
        ])
    }
}

/// Fetches a token by password, renews it by refresh token after a 401, and drops the
/// cache.
fn run(
    way: &'static str,
    runtime: Runtime,
    url: &str,
    secrets: &Secrets,
    transport: impl Transport,
) -> Run {
    let grant = PasswordGrant::new(url, CLIENT, "me", secrets.password.reveal());
    let grant = grant
        .expect("a grant")
        .client_secret(secrets.client.reveal());
    let tokens = TokenCache::new(grant.transport(transport));
    let origins = Origins::only(["https://api.example.com"]).expect("an origin");
    let layer = BearerAuthLayer::new(tokens.clone(), origins);
    let rejected = secrets.tokens[0].clone();
    let api = layer.layer(tower::service_fn(move |request: Request<()>| {
        let old = rejected.count(request.headers()[AUTHORIZATION].as_bytes()) > 0;
        let mut response = Response::new(String::new());
        if old {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        async { Ok::<_, Infallible>(response) }
    }));
    let before = runtime.block_on(async {
        let error = tokens.token().await.expect_err("no token yet");
        assert_eq!(error.oauth_error(), Some("too_busy"));
        tokens.reset();
        let request = Request::get("https://api.example.com/").body(());
        let response = api
            .oneshot(request.expect("a request"))
            .await
            .expect("an answer");
        assert_eq!(response.extensions().get(), Some(&Outcome::Replayed));
        secrets.counts()
    });
    // Makes sure that the search finds secrets that are there.
    assert!(
        before[0] > 0 && before[2] > 0 && before[5] > 0 && before[6] > 0,
        "{before:?}"
    );
    drop((tokens, layer, runtime));
    let names = [
        "password",
        "password in a form",
        "client secret",
        "client secret in Basic",
        "old token",
        "token",
        "refresh token",
    ];
    Run {
        way,
        names,
        before,
        after: secrets.counts(),
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

pub(crate) fn in_process() -> Run {
    let secrets = Secrets::new();
    let answers = Arc::new(Mutex::new(secrets.answers().into_iter().enumerate()));
    let endpoint = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let answers = answers.clone();
        async move {
            // Read to its end, as a client does.
            drop(request.into_body().collect().await?.to_bytes());
            let next = answers.lock().expect("no panic").next();
            let (number, answer) = next.expect("three requests");
            let mut response = Response::new(Pieces(answer));
            *response.status_mut() = if number == 0 { 429 } else { 200 }.try_into()?;
            Ok::<_, BoxError>(response)
        }
    });
    run(
        "in process",
        runtime(),
        "https://auth.example.com/token",
        &secrets,
        endpoint,
    )
}

/// A body that comes in pieces, without a length.
struct Pieces(Bytes);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.0.len().min(40);
        let piece = self.0.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }
}

#[cfg(feature = "reqwest")]
pub(crate) fn hyper() -> Run {
    let runtime = runtime();
    let secrets = Secrets::new();
    let url = server::start(&secrets);
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let client = client.build_http::<Full<Bytes>>();
    run("hyper-util's client", runtime, &url, &secrets, client)
}

#[cfg(feature = "reqwest")]
pub(crate) fn reqwest() -> Run {
    let runtime = runtime();
    let secrets = Secrets::new();
    let url = server::start(&secrets);
    let transport = tower_bearer::transport::DefaultTransport::new();
    run(
        "reqwest (the default transport)",
        runtime,
        &url,
        &secrets,
        transport,
    )
}

#[cfg(feature = "reqwest")]
mod server {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Starts an endpoint that wipes what it read and wrote, so that whatever is
    /// left is the client's.
    pub(super) fn start(secrets: &Secrets) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!(
            "http://{}/token",
            listener.local_addr().expect("an address")
        );
        let answers = secrets.answers();
        std::thread::spawn(move || {
            for (answer, status) in answers.iter().zip([429, 200, 200]) {
                let (stream, _) = listener.accept().expect("a connection");
                serve(stream, status, answer);
            }
        });
        url
    }

    fn serve(mut stream: TcpStream, status: u16, answer: &[u8]) {
        let mut request = Zeroizing::new(vec![0; 4096]);
        let mut length = 0;
        // Until the form's last parameter is there.
        while !ends(&request[..length]) {
            length += stream.read(&mut request[length..]).expect("a request");
        }
        let head = format!(
            "HTTP/1.1 {status} \r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).expect("written");
        stream.write_all(answer).expect("written");
    }

    fn ends(request: &[u8]) -> bool {
        [&b"grant_type=password"[..], b"grant_type=refresh_token"]
            .iter()
            .any(|end| request.ends_with(end))
    }
}
