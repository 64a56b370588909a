//! A proxy that can hold back what it forwards.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards everything, or holds everything back. Ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    held: watch::Sender<Held>,
    task: JoinHandle<()>,
}

/// What is not forwarded.
#[derive(Clone, Copy, Default)]
struct Held {
    all: bool,
    /// Connections before this time of the proxy.
    before: u64,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let (held, is_held) = watch::channel(Held::default());
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    let (near, far) = (near.into_split(), far.into_split());
                    let time = is_held.borrow().before;
                    tokio::spawn(forward(near.0, far.1, time, is_held.clone()));
                    tokio::spawn(forward(far.0, near.1, time, is_held.clone()));
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

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    time: u64,
    mut held: watch::Receiver<Held>,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let passes = |held: &Held| !held.all && held.before <= time;
        if held.wait_for(passes).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
