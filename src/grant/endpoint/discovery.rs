//! Requests the metadata of an issuer (OpenID Connect Discovery 1.0; RFC 8414).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{StatusCode, Uri};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::endpoint::metadata::{self, Metadata};
use crate::grant::response::error::{self, is_retryable};
use crate::transport::{EndpointRequest, EndpointResponse, Limits, Transport, send_request};

const ENDPOINT_NAME: &str = "the issuer";
/// How long metadata is kept before it is requested again.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// The pause after metadata could not be requested again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Issuer {
    name: String,
    urls: Vec<Uri>,
    /// Locked while the metadata is requested.
    known: Mutex<Option<Known>>,
}

struct Known {
    metadata: Arc<Metadata>,
    ask_again: Instant,
}

impl Issuer {
    pub(super) fn new(name: String, allows_plain_http: bool) -> Result<Self, ConfigError> {
        let urls = metadata::urls(&name, allows_plain_http)?;
        Ok(Self {
            name,
            urls,
            known: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the metadata, from memory if it was requested recently.
    pub(super) async fn metadata<T: Transport>(
        &self,
        transport: impl Fn() -> T + Send,
        limits: Limits,
    ) -> Result<Arc<Metadata>, TokenError> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && Instant::now() < known.ask_again
        {
            return Ok(known.metadata.clone());
        }
        match (self.ask(transport, limits).await, &mut *known) {
            (Ok(metadata), known) => {
                let metadata = Arc::new(metadata);
                *known = Some(Known {
                    metadata: metadata.clone(),
                    ask_again: Instant::now() + MAX_AGE,
                });
                Ok(metadata)
            }
            (Err(_), Some(known)) => {
                known.ask_again = Instant::now() + RETRY_PAUSE;
                Ok(known.metadata.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn ask<T: Transport>(
        &self,
        transport: impl Fn() -> T + Send,
        mut limits: Limits,
    ) -> Result<Metadata, TokenError> {
        let start = Instant::now();
        let time = limits.timeout;
        let mut worst: Option<NotHere> = None;
        for uri in &self.urls {
            // All requests together have the time of one.
            limits.timeout = time.saturating_sub(start.elapsed());
            let request = EndpointRequest {
                uri,
                endpoint_name: ENDPOINT_NAME,
                authorization: None,
                body: None,
                secrets: &[],
            };
            let not_here = match send_request(transport(), &request, limits).await {
                Ok(response) => match self.read(&response, &request) {
                    Ok(metadata) => return Ok(metadata),
                    Err(error) => error?,
                },
                Err(error) => match error.kind() {
                    // A login page, or a redirect to one.
                    TokenErrorKind::UnexpectedRedirect | TokenErrorKind::InvalidResponse => {
                        NotHere::Other(error)
                    }
                    _ => return Err(error),
                },
            };
            worst = Some(match worst {
                Some(worst) => worst.or(not_here),
                None => not_here,
            });
        }
        // There is a URL at least, so there is an error.
        Err(worst.map_or_else(
            || TokenError::new(TokenErrorKind::Config, ENDPOINT_NAME),
            NotHere::into_error,
        ))
    }

    /// Reads a response. An `Ok` error means that another URL may have the metadata.
    fn read(
        &self,
        response: &EndpointResponse,
        request: &EndpointRequest<'_>,
    ) -> Result<Metadata, Result<NotHere, TokenError>> {
        if !response.status.is_success() {
            return Err(no_metadata(response, request));
        }
        metadata::read(&self.name, &request.endpoint(), &response.body).map_err(|fault| {
            let error = fault.error.with_response(response.status, None);
            match fault.is_no_document {
                true => Ok(NotHere::Other(error)),
                false => Err(error),
            }
        })
    }
}

/// Why one URL has no metadata, although another may.
enum NotHere {
    /// There is nothing.
    Nothing(TokenError),
    /// There is something else.
    Other(TokenError),
    /// It may be available later.
    Later(TokenError),
}

impl NotHere {
    /// Returns the more telling of the two: first a transient error, then another
    /// fault.
    fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Later(_), _) | (Self::Other(_), Self::Nothing(_) | Self::Other(_)) => self,
            _ => other,
        }
    }

    fn into_error(self) -> TokenError {
        match self {
            Self::Nothing(error) | Self::Other(error) | Self::Later(error) => error,
        }
    }
}

/// Returns the error of a response without metadata as `Ok` if another URL may have
/// it, otherwise as `Err`.
fn no_metadata(
    response: &EndpointResponse,
    request: &EndpointRequest<'_>,
) -> Result<NotHere, TokenError> {
    let status = response.status;
    let error = |kind, what: &str| {
        let what = format!("{} {what}", request.endpoint());
        TokenError::new(kind, what).with_response(status, None)
    };
    if is_retryable(status) {
        let now = SystemTime::now();
        let wait = error::retry_after(&response.headers, now, error::MAX_RETRY_AFTER);
        let what = "is temporarily unavailable";
        let error = error(TokenErrorKind::Unavailable, what).with_retry_after(wait);
        // After a 408, 425 or 429 the other URL is not tried.
        return match status.is_server_error() {
            true => Ok(NotHere::Later(error)),
            false => Err(error),
        };
    }
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        let what = "is behind a proxy that refused the request";
        return Err(error(TokenErrorKind::Connect, what));
    }
    if status.is_client_error() {
        let what = "has no metadata: is this the issuer, to the last character?";
        return Ok(NotHere::Nothing(error(TokenErrorKind::Config, what)));
    }
    let what = "answered with an unexpected status";
    Err(error(TokenErrorKind::InvalidResponse, what))
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
