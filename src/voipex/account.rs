//! Requests to the exchange, with the account's token.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tower_layer::Layer;
use tower_service::Service;

use crate::auth::{BearerAuth, BearerAuthLayer, Error};
use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::transport::Transport;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A transport whose requests carry JSON and the account's token. A request whose
/// token was rejected is sent again with a newer one, as by any layer.
#[derive(Clone)]
pub(super) struct WithAccount<T>(BearerAuth<TransportService<T>>);

impl<T> WithAccount<T> {
    pub(super) fn new(account: &BearerAuthLayer, transport: T) -> Self {
        Self(account.layer(TransportService(transport)))
    }
}

impl<T: Transport> Service<Request<Full<Bytes>>> for WithAccount<T> {
    type Response = Response<T::Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        let mut service = self.0.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(cause)?;
            let response = service.call(request).await.map_err(cause)?;
            // The layer could not renew the rejected token.
            match response.extensions().get::<TokenError>() {
                Some(error) => Err(without_token(error.clone()).into()),
                None => Ok(response),
            }
        })
    }
}

fn cause(error: Error<BoxError>) -> BoxError {
    match error {
        Error::Token(error) => without_token(error).into(),
        Error::Inner(error) => error,
    }
}

/// Wraps the error of an account without a token. It says nothing about the user, so
/// it is not a refusal of the user: once the account has a token again, the next
/// exchange may succeed.
pub(super) fn without_token(error: TokenError) -> TokenError {
    let what = "the account that acts for this user has no token";
    TokenError::new(TokenErrorKind::Source, what).with_source(error)
}

/// A transport as a tower service.
#[derive(Clone)]
struct TransportService<T>(T);

impl<T: Transport> Service<Request<Full<Bytes>>> for TransportService<T> {
    type Response = Response<T::Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    /// Returns ready: the call awaits the transport's readiness.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let mut transport = self.0.clone();
        Box::pin(async move { transport.send(request).await })
    }
}
