//! Helpers for the tests of requests to a token endpoint.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use tower_bearer::transport::Transport;

pub(crate) mod scrap;

/// What a token endpoint received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) const TOKEN: &str =
    r#"{"access_token":"t0ken","expires_in":3000,"token_type":"Bearer"}"#;

/// An HTTP answer as it stands on the wire.
pub(crate) fn raw(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

/// A server that gives each connection the next answer and closes it, unless
/// the answer says `Connection: keep-alive`; after the last one it is gone.
pub(crate) struct RawServer {
    address: SocketAddr,
    thread: JoinHandle<Vec<(String, String)>>,
}

impl RawServer {
    pub(crate) fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let thread = std::thread::spawn(move || {
            let mut received = Vec::new();
            let mut open = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                received.push(read_request(&mut stream));
                stream.write_all(answer.as_bytes()).expect("written");
                if answer.contains("Connection: keep-alive") {
                    open.push(stream);
                }
            }
            received
        });
        Self { address, thread }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// The heads and bodies of all requests, once every answer was given.
    pub(crate) fn received(self) -> Vec<(String, String)> {
        self.thread.join().expect("a server that did not panic")
    }
}

/// Whatever comes, up to the length that the head announces.
fn read_request(stream: &mut TcpStream) -> (String, String) {
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a timeout");
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, length)| length.trim().parse().expect("a length"));
            if body.len() >= length {
                return (head.into(), body.into());
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return (text.into_owned(), String::new()),
            // A client that speaks TLS gets its answer at once.
            Ok(_) if bytes.is_empty() && chunk[0] == 0x16 => {
                return (String::new(), String::new());
            }
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

/// The requests that an in-process endpoint got.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Received>>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<Received> {
        self.0.lock().expect("no panic").clone()
    }
}

/// A token endpoint in this process, which answers by this function of the
/// request's number, from 0.
pub(crate) fn endpoint<B>(
    log: &Log,
    answer: impl Fn(usize) -> Response<B> + Clone + Send + 'static,
) -> impl Transport
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let log = log.clone();
    tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let number = {
                let mut log = log.0.lock().expect("no panic");
                log.push(Received {
                    uri: head.uri,
                    headers: head.headers,
                    body: String::from_utf8(body.to_vec()).expect("ascii"),
                });
                log.len() - 1
            };
            Ok::<_, Infallible>(answer(number))
        }
    })
}

/// An in-process answer.
pub(crate) fn answer(
    status: u16,
    headers: &[(&'static str, &str)],
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status.try_into().expect("a status");
    for (name, value) in headers {
        let value = value.parse().expect("a header value");
        response.headers_mut().append(*name, value);
    }
    response
}
