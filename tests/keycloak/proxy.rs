//! A TCP proxy of the test, which disturbs the token endpoint's responses like a bad
//! network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Nothing more is sent after this many bytes of the server's.
    Stall(usize),
    /// The connection is closed after this many bytes of the server's.
    Cut(usize),
    /// The connection is reset after this many bytes of the server's.
    Reset(usize),
    /// A byte of the server's in a second.
    Drip,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    mode: watch::Sender<Mode>,
    /// Bytes that the server sent on the last connection.
    sent: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy to a port of this machine.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let (mode, modes) = watch::channel(Mode::Pass);
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = sent.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let to = SocketAddr::from(([127, 0, 0, 1], to));
                counter.store(0, SeqCst);
                tokio::spawn(carry(client, to, modes.clone(), counter.clone()));
            }
        });
        Self {
            port,
            mode,
            sent,
            task,
        }
    }

    /// Does so from now on; connections that are open are closed.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many bytes the server has sent on the last connection.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one connection until its end or a change of mode.
async fn carry(
    mut client: TcpStream,
    to: SocketAddr,
    mut modes: watch::Receiver<Mode>,
    sent: Arc<AtomicUsize>,
) {
    modes.mark_unchanged();
    let mode = *modes.borrow();
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    let reset = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let there = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        };
        let back = async {
            let (limit, pause) = match mode {
                Mode::Pass => (usize::MAX, None),
                Mode::Drip => (usize::MAX, Some(Duration::from_secs(1))),
                Mode::Stall(limit) | Mode::Cut(limit) | Mode::Reset(limit) => (limit, None),
            };
            let (mut buffer, mut carried) = ([0; 4096], 0);
            while carried < limit {
                let most = if pause.is_some() { 1 } else { buffer.len() };
                let most = most.min(limit - carried);
                let Ok(read @ 1..) = from_server.read(&mut buffer[..most]).await else {
                    return;
                };
                if to_client.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
                carried += read;
                sent.store(carried, SeqCst);
                if let Some(pause) = pause {
                    sleep(pause).await;
                }
            }
            if let Mode::Stall(_) = mode {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = there => false,
            () = back => matches!(mode, Mode::Reset(_)),
            _ = modes.changed() => false,
        }
    };
    if reset {
        // With no time to linger, closing is a reset.
        let _ = client.set_zero_linger();
    }
}
