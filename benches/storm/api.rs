//! An API on loopback that accepts one token at a time, and counts connections.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::{Sleep, sleep};

/// The body of a 401: 2 kB.
const REJECTION: Bytes = Bytes::from_static(&[b'x'; 2000]);
/// Between the head of a 401 and its body, so that the client has read the one
/// before the other arrives.
pub(crate) const BETWEEN: Duration = Duration::from_millis(5);

/// The counters of the API, and the token that it accepts.
#[derive(Default)]
pub(crate) struct Api {
    /// The number of the token that is taken.
    current: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) rejected: AtomicU64,
}

impl Api {
    /// Starts an API, on the runtime that this is called in.
    pub(crate) async fn start() -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let api = Arc::new(Self::default());
        let of = api.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("an open connection");
                of.connections.fetch_add(1, SeqCst);
                let of = of.clone();
                tokio::spawn(async move {
                    let answer = service_fn(|request: hyper::Request<_>| {
                        let answer = of.answer(request.headers());
                        async { Ok::<_, Infallible>(answer) }
                    });
                    let stream = TokioIo::new(stream);
                    let _ = http1::Builder::new().serve_connection(stream, answer).await;
                });
            }
        });
        (api, address)
    }

    /// The token that is taken now.
    pub(crate) fn token(&self) -> String {
        format!("t-{}", self.current.load(SeqCst))
    }

    /// Takes another token from now on.
    pub(crate) fn revoke(&self) {
        self.current.fetch_add(1, SeqCst);
    }

    /// How often another token was taken.
    pub(crate) fn revocations(&self) -> u64 {
        self.current.load(SeqCst)
    }

    fn answer(&self, headers: &HeaderMap) -> Response<AnswerBody> {
        let expected = format!("Bearer {}", self.token());
        let given = headers.get(AUTHORIZATION);
        if given.is_some_and(|given| given.as_bytes() == expected.as_bytes()) {
            self.accepted.fetch_add(1, SeqCst);
            let body = Full::new(Bytes::from_static(b"{\"ok\":true}"));
            return Response::new(AnswerBody::AtOnce(body));
        }
        self.rejected.fetch_add(1, SeqCst);
        let body = AnswerBody::Late(Box::pin(sleep(BETWEEN)), REJECTION);
        let mut answer = Response::new(body);
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        answer
    }
}

/// The body of an answer.
enum AnswerBody {
    AtOnce(Full<Bytes>),
    /// In a separate packet, because its head has been sent by then.
    Late(Pin<Box<Sleep>>, Bytes),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::AtOnce(body) => Pin::new(body).poll_frame(cx),
            Self::Late(_, data) if data.is_empty() => Poll::Ready(None),
            Self::Late(timer, data) => {
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::AtOnce(body) => body.is_end_stream(),
            Self::Late(_, data) => data.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::AtOnce(body) => body.size_hint(),
            Self::Late(_, data) => SizeHint::with_exact(data.len() as u64),
        }
    }
}
