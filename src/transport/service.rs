//! The trait of a transport.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use crate::error::BoxError;

/// Tower service that can send a token request.
///
/// Short for `Service<http::Request<Full<Bytes>>, Response = http::Response<B>> +
/// Clone + Send + 'static` with a future that is `Send`, an error that is
/// `Into<BoxError>`, and a body `B` that is an [`http_body::Body`] and `Send`, as
/// are its data and error. Implemented for all of these; it cannot be implemented
/// otherwise.
///
/// The service need not be `Sync`. Each token request clones it, waits until the
/// clone is ready, and calls the same clone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot send a token request",
    label = "not a transport",
    note = "enable tower-bearer's feature `reqwest`, or give the grant a transport with `.transport(service)`",
    note = "a transport is a `Service<http::Request<http_body_util::Full<bytes::Bytes>>, Response = http::Response<_>> + Clone + Send + 'static` whose future, body, data and errors are `Send`"
)]
pub trait Transport: sealed::SendRequest {}

#[diagnostic::do_not_recommend]
impl<S> Transport for S where S: sealed::SendRequest {}

mod sealed {
    use std::future::{Future, poll_fn};

    use super::*;

    pub trait SendRequest: Clone + Send + 'static {
        type Body: Body<Data: Send, Error: Into<BoxError>> + Send;

        /// Waits until this service is ready, then calls it.
        fn send(
            &mut self,
            request: Request<Full<Bytes>>,
        ) -> impl Future<Output = Result<Response<Self::Body>, BoxError>> + Send;
    }

    #[diagnostic::do_not_recommend]
    impl<S, B> SendRequest for S
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data: Send, Error: Into<BoxError>> + Send,
    {
        type Body = B;

        async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<B>, BoxError> {
            poll_fn(|cx| self.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            self.call(request).await.map_err(Into::into)
        }
    }
}
