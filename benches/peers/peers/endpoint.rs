//! One token endpoint for all peers: in process for those that take a closure, over
//! loopback for those with their own HTTP client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::stack;

pub(crate) struct Endpoint {
    requests: AtomicU64,
    lifetime: Duration,
    delay: Duration,
}

/// A token as it is issued. Its first characters tell when it expires, so that
/// an API can check it without asking.
pub(crate) struct Issued {
    pub(crate) secret: String,
    pub(crate) expires: SystemTime,
}

impl Endpoint {
    pub(crate) fn new(lifetime: Duration, delay: Duration) -> Arc<Self> {
        Arc::new(Self {
            requests: AtomicU64::new(0),
            lifetime,
            delay,
        })
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(SeqCst)
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The life of a token starts when the answer is sent, which is kind to
    /// all: nobody has to count from an earlier time.
    pub(crate) async fn issue(&self) -> Issued {
        self.requests.fetch_add(1, SeqCst);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let expires = SystemTime::now() + self.lifetime;
        let since = expires.duration_since(UNIX_EPOCH).expect("after 1970");
        let filler = stack::token();
        let stamp = format!("{:014}.", since.as_millis());
        let secret = format!("{stamp}{}", &filler[stamp.len()..]);
        Issued { secret, expires }
    }

    /// Serves the same at an address on loopback.
    pub(crate) async fn serve(self: Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().answer(stream));
            }
        });
        address
    }

    /// HTTP as far as a token request needs it.
    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        loop {
            let Some(request) = take_request(&mut bytes) else {
                match stream.read_buf(&mut bytes).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => continue,
                }
            };
            drop(request);
            let secret = self.issue().await.secret;
            let lifetime = self.lifetime.as_secs();
            let body = format!(
                r#"{{"access_token":"{secret}","expires_in":{lifetime},"token_type":"Bearer"}}"#
            );
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// A whole request, once all of it has come.
fn take_request(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap_or(0));
    (bytes.len() >= end + length).then(|| bytes.drain(..end + length).collect())
}

/// Whether a header value carries a token that is alive.
pub(crate) fn is_alive(header: &[u8]) -> bool {
    let millis = header.strip_prefix(b"Bearer ").and_then(|token| {
        std::str::from_utf8(token.get(..14)?)
            .ok()?
            .parse::<u128>()
            .ok()
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    millis.is_some_and(|millis| now.is_ok_and(|now| now.as_millis() < millis))
}
