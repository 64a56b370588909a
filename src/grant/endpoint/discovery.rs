//! Requests the metadata of an issuer (OpenID Connect Discovery 1.0; RFC 8414).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Uri;
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
    urls: [Uri; 2],
    /// Locked while the metadata is requested.
    known: Mutex<Option<Known>>,
}

struct Known {
    metadata: Arc<Metadata>,
    ask_again: Instant,
}

impl Issuer {
    pub(super) fn new(name: String) -> Result<Self, ConfigError> {
        let urls = metadata::urls(&name)?;
        Ok(Self {
            name,
            urls,
            known: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the metadata, from memory if it was requested not long ago.
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
        let mut none = None;
        for uri in &self.urls {
            // Both requests together have the time of one.
            limits.timeout = time.saturating_sub(start.elapsed());
            let request = EndpointRequest {
                uri,
                endpoint_name: ENDPOINT_NAME,
                authorization: None,
                body: None,
                secrets: &[],
            };
            let response = send_request(transport(), &request, limits).await?;
            if response.status.is_success() {
                return metadata::read(&self.name, &response.body)
                    .map_err(|e| e.with_response(response.status, None));
            }
            none = Some(no_metadata(&response, &request)?);
        }
        // There are two URLs, so there is an error.
        Err(none.unwrap_or_else(|| TokenError::new(TokenErrorKind::Config, ENDPOINT_NAME)))
    }
}

/// Returns the error of a response without metadata as `Ok` if the other URL may
/// have it, else as `Err`.
fn no_metadata(
    response: &EndpointResponse,
    request: &EndpointRequest<'_>,
) -> Result<TokenError, TokenError> {
    let status = response.status;
    let error = |kind, what: &str| {
        let what = format!("{} {what}", request.endpoint());
        TokenError::new(kind, what).with_response(status, None)
    };
    if is_retryable(status) {
        let now = SystemTime::now();
        let wait = error::retry_after(&response.headers, now, error::MAX_RETRY_AFTER);
        let what = "is temporarily unavailable";
        return Err(error(TokenErrorKind::Unavailable, what).with_retry_after(wait));
    }
    if status.is_client_error() {
        let what = "has no metadata: is this the issuer, to the last character?";
        return Ok(error(TokenErrorKind::Config, what));
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
