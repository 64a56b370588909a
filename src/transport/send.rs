//! Sends a request to an endpoint and reads the response, within limits.

use std::time::Duration;

use http::Response;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::transport::body::{ReadError, collect};
use crate::transport::request::{EndpointRequest, EndpointResponse};
use crate::transport::retry::{self, Ended};
use crate::transport::{Transport, redirect};

const MAX_REDIRECTS: usize = 5;

/// The maximum duration of a request and size of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) max_response: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_response: 64 * 1024,
        }
    }
}

/// Sends a token request, follows redirects within its origin, and reads the
/// response, all before one deadline.
pub(crate) async fn send_request<T: Transport>(
    mut transport: T,
    request: &EndpointRequest<'_>,
    limits: Limits,
) -> Result<EndpointResponse, TokenError> {
    if Handle::try_current().is_err() {
        let what = "a token was requested outside a tokio runtime";
        return Err(TokenError::new(TokenErrorKind::NoRuntime, what));
    }
    let now = Instant::now();
    // A timeout that is too long to be added never ends.
    let deadline = now.checked_add(limits.timeout).unwrap_or(now + FOREVER);
    let late = |_| {
        let (endpoint, timeout) = (request.endpoint(), limits.timeout);
        let what = format!("the request to {endpoint} did not finish within {timeout:?}");
        TokenError::new(TokenErrorKind::Timeout, what)
    };
    let response = timeout_at(deadline, follow(&mut transport, request))
        .await
        .map_err(late)??;
    let (head, body) = response.into_parts();
    let body = match timeout_at(deadline, collect(body, limits.max_response)).await {
        Ok(Ok(body)) => body,
        // The status of a failure is what counts. If its unreadable body made the
        // failure transient, a wrong password would be sent again and again.
        _ if !head.status.is_success() => Zeroizing::default(),
        Ok(Err(ReadError::TooLarge)) => {
            let (endpoint, max) = (request.endpoint(), limits.max_response);
            let what = format!("the response of {endpoint} is larger than {max} bytes");
            return Err(TokenError::new(TokenErrorKind::InvalidResponse, what)
                .with_response(head.status, None));
        }
        Ok(Err(ReadError::Broken(error))) => {
            let what = format!("the response of {} broke off", request.endpoint());
            return Err(TokenError::new(TokenErrorKind::Connect, what).with_source(error));
        }
        Err(elapsed) => return Err(late(elapsed)),
    };
    Ok(EndpointResponse {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// The same as tokio's `sleep` uses for a deadline too far in the future.
const FOREVER: Duration = Duration::from_secs(86400 * 365 * 30);

async fn follow<T: Transport>(
    transport: &mut T,
    request: &EndpointRequest<'_>,
) -> Result<Response<T::Body>, TokenError> {
    let mut uri = request.uri.clone();
    let may_repeat = request.body.as_deref().is_none_or(retry::may_repeat);
    let mut repeated = false;
    for _ in 0..=MAX_REDIRECTS {
        let mut response = transport.send(request.to_http(&uri)).await;
        if let Err(error) = &response
            && !repeated
            && let Some(became) = retry::ended(&**error)
            && (may_repeat || became == Ended::NotProcessed)
        {
            repeated = true;
            response = transport.send(request.to_http(&uri)).await;
        }
        let response = response.map_err(|e| unreachable(request, e))?;
        let status = response.status();
        if !status.is_redirection() {
            return Ok(response);
        }
        let echoes = |text: &str| request.echoes(text);
        let endpoint = request.endpoint();
        uri = redirect::target(&uri, &endpoint, status, response.headers(), echoes)?;
    }
    let endpoint = request.endpoint();
    let what = format!("{endpoint} redirected more than {MAX_REDIRECTS} times");
    Err(TokenError::new(TokenErrorKind::UnexpectedRedirect, what))
}

/// Wraps the transport's error, unless it is a [`TokenError`] already.
fn unreachable(request: &EndpointRequest<'_>, error: BoxError) -> TokenError {
    match error.downcast::<TokenError>() {
        Ok(error) => *error,
        Err(error) => {
            let what = format!("{} could not be reached", request.endpoint());
            TokenError::new(TokenErrorKind::Connect, what).with_source(error)
        }
    }
}
