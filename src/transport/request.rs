//! One token request and its answer, within its limits.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::transport::body::{ReadError, collect};
use crate::transport::redact::echoes;
use crate::transport::{Transport, redirect};

const MAX_REDIRECTS: usize = 5;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How long a whole exchange may take, and how many bytes an answer may have.
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

/// A token request, or another one to the same server.
pub(crate) struct EndpointRequest<'a> {
    pub(crate) uri: &'a Uri,
    /// Who is asked, in words: `the token endpoint`.
    pub(crate) endpoint_name: &'static str,
    pub(crate) authorization: Option<HeaderValue>,
    /// The form; without one it is a GET. Made of an owner that wipes it, so that whoever drops it last
    /// leaves nothing behind.
    pub(crate) body: Option<Bytes>,
    /// What no error may hold, even if the server sends it back.
    pub(crate) secrets: &'a [&'a str],
}

impl EndpointRequest<'_> {
    fn request(&self, uri: &Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone().unwrap_or_default()));
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, JSON);
        if self.body.is_some() {
            headers.insert(CONTENT_TYPE, FORM);
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if self.body.is_some() {
            *request.method_mut() = Method::POST;
        }
        request
    }

    /// Whether the text gives back one of the secrets.
    pub(crate) fn echoes(&self, text: &str) -> bool {
        self.secrets.iter().any(|secret| echoes(text, secret))
    }
}

/// What the token endpoint said.
pub(crate) struct EndpointResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Empty where the body of a refusal could not be read.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for EndpointResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Sends a token request, follows redirects within its origin, and reads the
/// answer, all before one deadline.
pub(crate) async fn send_request<T: Transport>(
    mut transport: T,
    request: &EndpointRequest<'_>,
    limits: Limits,
) -> Result<EndpointResponse, TokenError> {
    if Handle::try_current().is_err() {
        let what = "a token was asked for outside a tokio runtime";
        return Err(TokenError::new(TokenErrorKind::NoRuntime, what));
    }
    let now = Instant::now();
    // A timeout too long to be added never comes.
    let deadline = now.checked_add(limits.timeout).unwrap_or(now + FOREVER);
    let endpoint_name = request.endpoint_name;
    let late = |_| {
        let what = format!(
            "the request to {endpoint_name} did not finish within {:?}",
            limits.timeout
        );
        TokenError::new(TokenErrorKind::Timeout, what)
    };
    let response = timeout_at(deadline, follow(&mut transport, request))
        .await
        .map_err(late)??;
    let (head, body) = response.into_parts();
    let body = match timeout_at(deadline, collect(body, limits.max_response)).await {
        Ok(Ok(body)) => body,
        // An answer that is no success has said what matters with its status.
        // Were its body's fault taken for a passing one, a wrong password
        // would be tried again and again.
        _ if !head.status.is_success() => Zeroizing::default(),
        Ok(Err(ReadError::OverCap)) => {
            let what = format!(
                "the answer of {endpoint_name} is larger than {} bytes",
                limits.max_response
            );
            return Err(TokenError::new(TokenErrorKind::InvalidResponse, what)
                .with_answer(head.status, None));
        }
        Ok(Err(ReadError::Broken(error))) => {
            let what = format!("the answer of {endpoint_name} broke off");
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

/// As far ahead as tokio's own `sleep` puts what is too far.
const FOREVER: Duration = Duration::from_secs(86400 * 365 * 30);

async fn follow<T: Transport>(
    transport: &mut T,
    request: &EndpointRequest<'_>,
) -> Result<Response<T::Body>, TokenError> {
    let mut uri = request.uri.clone();
    for _ in 0..=MAX_REDIRECTS {
        let response = transport
            .send(request.request(&uri))
            .await
            .map_err(|e| unreachable(request, e))?;
        let status = response.status();
        if !status.is_redirection() {
            return Ok(response);
        }
        let echoes = |text: &str| request.echoes(text);
        uri = redirect::target(
            &uri,
            request.endpoint_name,
            status,
            response.headers(),
            echoes,
        )?;
    }
    let endpoint_name = request.endpoint_name;
    let what = format!("{endpoint_name} redirected more than {MAX_REDIRECTS} times");
    Err(TokenError::new(TokenErrorKind::UnexpectedRedirect, what))
}

/// A transport may say it in a [`TokenError`] of its own.
fn unreachable(request: &EndpointRequest<'_>, error: BoxError) -> TokenError {
    match error.downcast::<TokenError>() {
        Ok(error) => *error,
        Err(error) => {
            let endpoint_name = request.endpoint_name;
            let host = request.uri.host().unwrap_or_default();
            let what = format!("{endpoint_name} at {host} could not be reached");
            TokenError::new(TokenErrorKind::Connect, what).with_source(error)
        }
    }
}
