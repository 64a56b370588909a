//! Connections to a scripted server within this process.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tower::Service;

/// The answer to each connection, in turn; after the last one, no connection is
/// accepted.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<(VecDeque<Vec<u8>>, usize)>>);

impl Script {
    pub(crate) fn new<'a>(answers: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let answers = answers.into_iter().map(<[u8]>::to_vec).collect();
        Self(Arc::new(Mutex::new((answers, 0))))
    }

    /// How many connections were asked for.
    pub(crate) fn connections(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn connect(&self) -> Option<Vec<u8>> {
        let mut script = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        script.1 += 1;
        script.0.pop_front()
    }
}

#[derive(Clone)]
pub(crate) struct Connector(pub(crate) Script);

impl Service<Uri> for Connector {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Ready<io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let authority = uri.authority().map(|authority| authority.as_str());
        assert_eq!(uri.scheme_str(), Some("https"), "in the clear: {uri}");
        assert!(
            matches!(authority, Some("auth.voipex.io" | "auth.voipex.io:443")),
            "the password goes to {uri}"
        );
        let Some(answer) = self.0.connect() else {
            return ready(Err(io::ErrorKind::ConnectionRefused.into()));
        };
        let (ours, theirs) = duplex(64 * 1024);
        tokio::spawn(serve(theirs, answer));
        ready(Ok(Pipe(TokioIo::new(ours))))
    }
}

/// Waits for a request's first bytes, answers, and closes.
async fn serve(stream: DuplexStream, answer: Vec<u8>) {
    let (mut reader, mut writer) = split(stream);
    if reader.read_u8().await.is_err() {
        return;
    }
    let read = async {
        let mut rest = [0; 4096];
        while reader.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    };
    let write = async {
        for (number, piece) in answer.split(|byte| *byte == 0x1f).enumerate() {
            if number > 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            if writer.write_all(piece).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}

pub(crate) struct Pipe(TokioIo<DuplexStream>);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
