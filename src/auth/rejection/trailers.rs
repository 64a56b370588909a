//! The body of a gRPC response, whose trailers are read.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::auth::rejection::sent_token::SentToken;
use crate::auth::rejection::verdict::{Verdict, grpc_status};
use crate::cache::WaitForToken;

pin_project! {
    /// Body of a response where the layer has
    /// [`Rejection::grpc`](crate::Rejection::grpc). Passes everything on; trailers
    /// that reject the token are held back until there is a newer one.
    pub struct GrpcBody<B> {
        #[pin]
        body: B,
        sent: Option<SentToken>,
        held: Option<Held>,
    }
}

/// Trailers that reject the token.
struct Held {
    trailers: HeaderMap,
    renewal: Pin<Box<WaitForToken>>,
}

impl<B> GrpcBody<B> {
    pub(super) fn new(body: B, sent: Option<SentToken>) -> Self {
        Self {
            body,
            sent,
            held: None,
        }
    }

    /// Returns the body itself, whose trailers then are not read.
    pub fn into_inner(self) -> B {
        self.body
    }
}

/// Reads trailers. Returns what to wait for before they are passed on.
fn read(sent: &SentToken, trailers: &HeaderMap) -> Option<Pin<Box<WaitForToken>>> {
    match grpc_status(trailers) {
        Verdict::Rejected => {
            let shared = sent.rejected()?;
            Some(Box::pin(sent.wait(shared)))
        }
        Verdict::Accepted => {
            sent.accept();
            None
        }
        _ => None,
    }
}

impl<B: Body> Body for GrpcBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if this.held.is_none() {
            let polled = ready!(this.body.poll_frame(cx));
            let Some(Ok(frame)) = polled else {
                return Poll::Ready(polled);
            };
            let trailers = match frame.into_trailers() {
                Ok(trailers) => trailers,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            };
            let renewal = this.sent.take().and_then(|sent| read(&sent, &trailers));
            match renewal {
                Some(renewal) => *this.held = Some(Held { trailers, renewal }),
                None => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            }
        }
        if let Some(held) = this.held {
            // If there is no newer token, the caller's next request fails with the
            // reason.
            let _ = ready!(held.renewal.as_mut().poll(cx));
        }
        let trailers = this.held.take().map(|held| held.trailers);
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> fmt::Debug for GrpcBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcBody").finish_non_exhaustive()
    }
}
