//! The server as a tower service.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::sleep;
use tower_service::Service;

use super::api;
use super::body::{MockBody, whole};
use super::endpoint::Endpoint;
use super::form::read_body;
use super::mock_response::MockResponse;
use super::shared::Shared;
use super::voipex;
use crate::error::BoxError;

/// [`TokenServer`](super::TokenServer) without its sockets: a tower service for
/// requests with any body, cheap to clone.
///
/// It routes by the path, whatever the host: `/token`, `/logout`, `/revoke`,
/// `/token-exchange` and the metadata belong to the authorization server, all other
/// paths to the API. It is always ready, and uses tokio's time, so it works with
/// paused time. It keeps working after its server was dropped.
///
/// # Errors
///
/// A call fails if a mock response closes the connection: see
/// [`MockResponse::close`].
#[derive(Clone)]
pub struct TokenService {
    shared: Arc<Shared>,
}

impl TokenService {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn token<B>(&self, endpoint: Endpoint, request: Request<B>) -> MockResponseFuture
    where
        B: Body + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        // Counted, and taken from the queue, in the order of the calls, not of the
        // polls.
        let is_token = endpoint == Endpoint::Token;
        let (waiting, mock) = match endpoint {
            Endpoint::Token => (
                Some(shared.counters.token_request()),
                shared.token_responses.next(),
            ),
            Endpoint::Exchange => (
                Some(shared.counters.exchange_request()),
                shared.exchange_responses.next(),
            ),
            _ => (None, None),
        };
        MockResponseFuture::later(async move {
            let mock = mock.unwrap_or_default();
            let (head, body) = request.into_parts();
            let body = read_body(body).await;
            let draft = mock.draft(
                |edits| endpoint.respond(&shared, &head, body.as_deref(), edits),
                || api::echo_unchecked(&head.headers, body.clone().unwrap_or_default()),
            );
            if waiting.is_some() {
                let delay = mock.delay().unwrap_or_else(|| shared.read().delay);
                if !delay.is_zero() {
                    sleep(delay).await;
                }
            }
            let result = mock.send(draft).await;
            if let (true, Ok(response)) = (is_token, &result) {
                shared.counters.token_response(response.status());
            }
            drop(waiting);
            result
        })
    }

    /// Returns an API response that may need the request's body.
    fn slow_api<B>(&self, mock: MockResponse, request: Request<B>) -> MockResponseFuture
    where
        B: Body + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        MockResponseFuture::later(async move {
            let (head, body) = request.into_parts();
            let body = if mock.is_echo() || shared.config.voipex_api {
                read_body(body).await.unwrap_or_default()
            } else {
                drop(body);
                Bytes::new()
            };
            if let Some(delay) = mock.delay() {
                sleep(delay).await;
            }
            let draft = mock.draft(
                |_| match shared.config.voipex_api {
                    true => voipex::api::respond(&shared, &head, &body),
                    false => api::respond(&shared, &head.headers),
                },
                || api::echo(&shared, &head.headers, body.clone()),
            );
            let result = mock.send(draft).await;
            if let Ok(response) = &result {
                shared.counters.api_response(response);
            }
            result
        })
    }
}

impl<B> Service<Request<B>> for TokenService
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<MockBody>;
    type Error = io::Error;
    type Future = MockResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> MockResponseFuture {
        if let Some(endpoint) = Endpoint::at(request.uri().path()) {
            return self.token(endpoint, request);
        }
        self.shared.counters.api_request();
        match self.shared.api_responses.next() {
            Some(mock) => return self.slow_api(mock, request),
            None if self.shared.config.voipex_api => {
                return self.slow_api(MockResponse::default(), request);
            }
            None => {}
        }
        let response = api::respond(&self.shared, request.headers());
        self.shared.counters.api_response(&response);
        MockResponseFuture(Inner::Now(Some(whole(response))))
    }
}

impl fmt::Debug for TokenService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenService").finish_non_exhaustive()
    }
}

/// Response future of a [`TokenService`].
pub struct MockResponseFuture(Inner);

/// Benches call the API, so its responses are not boxed unless they are mocked.
enum Inner {
    Now(Option<Response<MockBody>>),
    Later(Pin<Box<dyn Future<Output = io::Result<Response<MockBody>>> + Send>>),
}

impl MockResponseFuture {
    fn later(
        future: impl Future<Output = io::Result<Response<MockBody>>> + Send + 'static,
    ) -> Self {
        Self(Inner::Later(Box::pin(future)))
    }
}

impl Future for MockResponseFuture {
    type Output = io::Result<Response<MockBody>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Now(response) => {
                Poll::Ready(Ok(response.take().expect("polled after completion")))
            }
            Inner::Later(future) => future.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for MockResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockResponseFuture").finish_non_exhaustive()
    }
}
