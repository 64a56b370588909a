//! The mock responses of an endpoint, in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::mock_response::MockResponse;
use crate::sync::lock;

/// Mock responses of one endpoint of a [`TokenServer`](super::TokenServer), returned
/// by [`token_endpoint`](super::TokenServer::token_endpoint) and
/// [`api`](super::TokenServer::api).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::TokenCache;
/// use tower_bearer::testing::{MockResponse, TokenServer};
///
/// let server = TokenServer::builder().in_process();
/// let tokens = TokenCache::new(server.grant());
///
/// server.token_endpoint().enqueue([MockResponse::status(500)]);
/// let error = tokens.token().await.expect_err("no token");
/// assert_eq!(error.status().map(|status| status.as_u16()), Some(500));
///
/// tokens.reset(); // ends the backoff
/// assert!(tokens.token().await.is_ok(), "the queue is empty");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct MockEndpoint<'a>(pub(super) &'a ResponseQueue);

impl MockEndpoint<'_> {
    /// Adds responses to the queue. Each request takes one, in this order.
    pub fn enqueue(&self, responses: impl IntoIterator<Item = MockResponse>) {
        self.0.edit(|it| it.queue.extend(responses));
    }

    /// Sets the response to all requests that find the queue empty, instead of the
    /// server's own.
    pub fn set_default(&self, response: MockResponse) {
        self.0.edit(|it| it.default = Some(response));
    }

    /// Removes the queued responses and the default, so that the server sends its
    /// own responses again.
    pub fn clear(&self) {
        self.0.edit(|it| *it = Responses::default());
    }
}

impl fmt::Debug for MockEndpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockEndpoint").finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct ResponseQueue {
    /// Whether there are mock responses: without any, a request takes no lock.
    is_used: AtomicBool,
    responses: Mutex<Responses>,
}

#[derive(Default)]
struct Responses {
    queue: VecDeque<MockResponse>,
    default: Option<MockResponse>,
}

impl ResponseQueue {
    pub(super) fn next(&self) -> Option<MockResponse> {
        if !self.is_used.load(Ordering::Acquire) {
            return None;
        }
        self.edit(|it| it.queue.pop_front().or_else(|| it.default.clone()))
    }

    fn edit<R>(&self, edit: impl FnOnce(&mut Responses) -> R) -> R {
        let mut responses = lock(&self.responses);
        let result = edit(&mut responses);
        let is_used = !responses.queue.is_empty() || responses.default.is_some();
        self.is_used.store(is_used, Ordering::Release);
        result
    }
}
