//! A proxy that can hold back what it forwards.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Forwards everything, or holds everything back. Ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    held: watch::Sender<Held>,
    task: JoinHandle<()>,
}

/// The properties of a proxy.
#[derive(Clone, Copy, Default)]
pub(crate) struct Way {
    /// How long each direction takes, and at most that at random.
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    /// A connection that was idle for this long is dropped silently.
    pub(crate) idle: Option<Duration>,
}

impl Way {
    /// One on which a response takes this long, and a tenth more or less.
    pub(crate) fn of(round_trip: Duration) -> Self {
        Self {
            delay: round_trip * 9 / 20,
            jitter: round_trip / 10,
            idle: None,
        }
    }

    async fn take(&self) {
        if !self.delay.is_zero() {
            // Random enough for a network.
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("after 1970");
            let part = f64::from(now.subsec_micros() % 1000) / 1000.0;
            sleep(self.delay + self.jitter.mul_f64(part)).await;
        }
    }
}

/// What is being held back.
#[derive(Clone, Copy, Default)]
struct Held {
    all: bool,
    /// Connections before this time of the proxy.
    before: u64,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        Self::by(Way::default(), port).await
    }

    pub(crate) async fn by(way: Way, port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let (held, is_held) = watch::channel(Held::default());
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    let (near, far) = (near.into_split(), far.into_split());
                    let line = Line {
                        time: is_held.borrow().before,
                        used: Arc::new(Mutex::new(Instant::now())),
                        held: is_held.clone(),
                        way,
                    };
                    tokio::spawn(forward(near.0, far.1, line.clone()));
                    tokio::spawn(forward(far.0, near.1, line));
                }
            }
        });
        Self {
            address,
            held,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Holds everything back, or forwards it again.
    pub(crate) fn stall(&self, stalled: bool) {
        self.held.send_modify(|held| held.all = stalled);
    }

    /// Holds back everything on the current connections; new ones work.
    pub(crate) fn strand(&self) {
        self.held.send_modify(|held| held.before += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection through the proxy.
#[derive(Clone)]
struct Line {
    time: u64,
    used: Arc<Mutex<Instant>>,
    held: watch::Receiver<Held>,
    way: Way,
}

impl Line {
    /// Whether it was idle for too long.
    fn is_dropped(&self) -> bool {
        let mut used = self.used.lock().expect("no panic");
        let idle = used.elapsed();
        *used = Instant::now();
        self.way.idle.is_some_and(|limit| idle > limit)
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: Line) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if line.is_dropped() {
            line.way.idle = Some(Duration::ZERO);
            std::future::pending::<()>().await;
        }
        let (time, way) = (line.time, line.way);
        let passes = |held: &Held| !held.all && held.before <= time;
        if line.held.wait_for(passes).await.is_err() {
            return;
        }
        way.take().await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
