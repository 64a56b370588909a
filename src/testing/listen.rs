//! The server's sockets.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::service::TokenService;

/// How long responses in progress may take once the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// The pause after a failed accept, which happens when the process has no file
/// descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

enum Event {
    Connection(TcpStream),
    AcceptFailed,
    Stop,
}

/// Serves until the sender of `stop` is dropped, then closes all connections.
pub(super) async fn serve(listener: TcpListener, service: TokenService, stop: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    {
        let mut stopped = pin!(stopped(stop.clone()));
        loop {
            match next_event(&listener, stopped.as_mut(), &mut connections).await {
                Event::Connection(stream) => {
                    connections.spawn(connection(stream, service.clone(), stop.clone()));
                }
                Event::AcceptFailed => sleep(ACCEPT_PAUSE).await,
                Event::Stop => break,
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(GRACE, ended).await;
}

async fn next_event(
    listener: &TcpListener,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
    connections: &mut JoinSet<()>,
) -> Event {
    poll_fn(|cx| {
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Stop);
        }
        while let Poll::Ready(Some(_)) = connections.poll_join_next(cx) {}
        listener.poll_accept(cx).map(|accepted| match accepted {
            Ok((stream, _)) => Event::Connection(stream),
            Err(_) => Event::AcceptFailed,
        })
    })
    .await
}

/// Serves HTTP/1.1 or, by prior knowledge, HTTP/2.
async fn connection(stream: TcpStream, service: TokenService, stop: watch::Receiver<()>) {
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new());
    // Any number of callers may share one connection.
    builder.http2().max_concurrent_streams(None);
    let service = service_fn(move |request| service.clone().call(request));
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stopped = pin!(stopped(stop));
    let mut stopping = false;
    // An error concerns only the client: a mock response that closes the connection,
    // for example.
    let _: Result<(), io::Error> = poll_fn(|cx| {
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            served.as_mut().graceful_shutdown();
        }
        served.as_mut().poll(cx).map_err(io::Error::other)
    })
    .await;
}

async fn stopped(mut stop: watch::Receiver<()>) {
    while stop.changed().await.is_ok() {}
}
