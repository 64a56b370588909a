//! A TCP proxy in front of a server that counts requests and responses. Its
//! connections live and end as those to the server do.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Ends with the last handle on it.
pub(crate) struct Watch {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Exchange>>>,
    task: JoinHandle<()>,
}

/// A request that reached the server.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    path: String,
    /// The `grant_type` of a token request.
    grant: Option<String>,
    /// The value of its `authorization`.
    credentials: Option<String>,
    status: Option<u16>,
}

impl Watch {
    /// A proxy to a port of this machine.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::<Mutex<Vec<Exchange>>>::default();
        let record = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let to = SocketAddr::from(([127, 0, 0, 1], to));
                tokio::spawn(carry(client, to, record.clone()));
            }
        });
        let url = format!("http://127.0.0.1:{port}");
        Self { url, seen, task }
    }

    /// Resets the counts.
    pub(crate) fn forget(&self) {
        self.seen.lock().expect("no panic").clear();
    }

    /// Forgets the last request.
    pub(crate) fn forget_last(&self) {
        self.seen.lock().expect("no panic").pop();
    }

    /// The token requests so far.
    pub(crate) fn tokens(&self) -> Counts {
        self.count(|exchange| exchange.grant.is_some())
    }

    /// The requests of a path so far.
    pub(crate) fn of(&self, path: &str) -> Counts {
        self.count(|exchange| exchange.path == path)
    }

    /// The requests of a path so far, for each token in the order in which they came.
    pub(crate) fn by_token(&self, path: &str) -> Vec<Counts> {
        let seen = self.seen.lock().expect("no panic");
        let mut tokens: Vec<(&Option<String>, Counts)> = Vec::new();
        for exchange in seen.iter().filter(|it| it.path == path) {
            let known = tokens.iter().position(|it| *it.0 == exchange.credentials);
            let number = known.unwrap_or_else(|| {
                tokens.push((&exchange.credentials, Counts::default()));
                tokens.len() - 1
            });
            tokens[number].1.add(exchange);
        }
        tokens.into_iter().map(|(_, counts)| counts).collect()
    }

    fn count(&self, which: impl Fn(&Exchange) -> bool) -> Counts {
        let seen = self.seen.lock().expect("no panic");
        let mut counts = Counts::default();
        for exchange in seen.iter().filter(|it| which(it)) {
            counts.add(exchange);
        }
        counts
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Requests, by what came of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) logins: u64,
    pub(crate) refreshes: u64,
    /// Those that the server answered with another status than 200.
    pub(crate) refused_logins: u64,
    pub(crate) refused_refreshes: u64,
    /// Requests that were no token requests, by whether they were answered so.
    pub(crate) ok: u64,
    pub(crate) other: u64,
}

impl Counts {
    fn add(&mut self, exchange: &Exchange) {
        let count = match (exchange.grant.as_deref(), exchange.status) {
            (Some("refresh_token"), Some(200)) => &mut self.refreshes,
            (Some("refresh_token"), _) => &mut self.refused_refreshes,
            (Some(_), Some(200)) => &mut self.logins,
            (Some(_), _) => &mut self.refused_logins,
            (None, Some(200)) => &mut self.ok,
            (None, _) => &mut self.other,
        };
        *count += 1;
    }

    /// All token requests.
    pub(crate) fn all(&self) -> u64 {
        self.logins + self.refreshes + self.refused_logins + self.refused_refreshes
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("logins", self.logins),
            ("refused logins", self.refused_logins),
            ("refreshes", self.refreshes),
            ("refused refreshes", self.refused_refreshes),
            ("200", self.ok),
            ("not 200", self.other),
        ];
        let counts = counts.iter().filter(|(_, count)| *count > 0);
        let counts: Vec<_> = counts.map(|(what, n)| format!("{what}: {n}")).collect();
        match counts.is_empty() {
            true => write!(f, "no requests"),
            false => write!(f, "{}", counts.join(", ")),
        }
    }
}

/// Carries one connection until either side ends it.
async fn carry(mut client: TcpStream, to: SocketAddr, seen: Arc<Mutex<Vec<Exchange>>>) {
    let Ok(mut server) = TcpStream::connect(to).await else {
        // With no time to linger, closing is a reset.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut requests = Requests::default();
    let mut waiting = None;
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { break };
                for exchange in requests.feed(&up[..read]) {
                    let mut seen = seen.lock().expect("no panic");
                    waiting = Some(seen.len());
                    seen.push(exchange);
                }
                if server.write_all(&up[..read]).await.is_err() {
                    break;
                }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { break };
                // Clients do not send a request before they have read a response, so
                // the first thing after a request is the status of its response.
                if let Some(number) = waiting.take() {
                    let status = status(&down[..read]);
                    if let Some(exchange) = seen.lock().expect("no panic").get_mut(number) {
                        exchange.status = status;
                    }
                }
                if client.write_all(&down[..read]).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = tokio::time::timeout(Duration::from_secs(1), client.shutdown()).await;
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.get(..12)?).ok()?;
    line.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

/// Finds the requests in what a client sends.
#[derive(Default)]
struct Requests {
    buffer: Vec<u8>,
}

impl Requests {
    /// Takes what came, and gives the requests that are complete now.
    fn feed(&mut self, bytes: &[u8]) -> Vec<Exchange> {
        self.buffer.extend_from_slice(bytes);
        std::iter::from_fn(|| self.next()).collect()
    }

    fn next(&mut self) -> Option<Exchange> {
        const END: &[u8] = b"\r\n\r\n";
        let head = self.buffer.windows(4).position(|four| four == END)?;
        let text = String::from_utf8_lossy(&self.buffer[..head]).into_owned();
        let header = |wanted: &str| {
            let mut headers = text.lines().filter_map(|line| line.split_once(':'));
            let header = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            header.map(|(_, value)| value.trim().to_owned())
        };
        let length = header("content-length");
        let length = length.map_or(0, |length| length.parse().expect("a length"));
        let end = head + END.len() + length;
        if self.buffer.len() < end {
            return None;
        }
        let body: Vec<_> = self.buffer.drain(..end).skip(head + END.len()).collect();
        let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut form = url::form_urlencoded::parse(&body);
        Some(Exchange {
            path,
            grant: form
                .find(|(name, _)| name == "grant_type")
                .map(|(_, value)| value.into_owned()),
            credentials: header("authorization"),
            status: None,
        })
    }
}
