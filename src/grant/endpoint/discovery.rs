//! An issuer, and what it says of itself (OpenID Connect Discovery 1.0; RFC
//! 8414).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Uri;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::endpoint::metadata::{self, Metadata};
use crate::grant::response::retry_after;
use crate::transport::{EndpointRequest, EndpointResponse, Limits, Transport, send_request};

const ENDPOINT_NAME: &str = "the issuer";
/// How long a document is not asked for again.
const FRESH: Duration = Duration::from_secs(3600);
/// The same, after it could not be read again.
const PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Issuer {
    name: String,
    places: [Uri; 2],
    /// Locked while the document is asked for.
    known: Mutex<Option<Known>>,
}

struct Known {
    metadata: Arc<Metadata>,
    ask_again: Instant,
}

impl Issuer {
    pub(super) fn new(name: String) -> Result<Self, ConfigError> {
        let places = metadata::places(&name)?;
        Ok(Self {
            name,
            places,
            known: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the issuer says, from memory if it was asked not long ago.
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
                    ask_again: Instant::now() + FRESH,
                });
                Ok(metadata)
            }
            (Err(_), Some(known)) => {
                known.ask_again = Instant::now() + PAUSE;
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
        for uri in &self.places {
            // Both together have the time of one request.
            limits.timeout = time.saturating_sub(start.elapsed());
            let request = EndpointRequest {
                uri,
                endpoint_name: ENDPOINT_NAME,
                authorization: None,
                body: None,
                secrets: &[],
            };
            let answer = send_request(transport(), &request, limits).await?;
            if answer.status.is_success() {
                return metadata::read(&self.name, &answer.body)
                    .map_err(|e| e.with_answer(answer.status, None));
            }
            none = Some(no_metadata(&answer)?);
        }
        // There are two places, so there is an error.
        Err(none.unwrap_or_else(|| TokenError::new(TokenErrorKind::Config, ENDPOINT_NAME)))
    }
}

/// The error of an answer that has no document, if another place may have one.
fn no_metadata(answer: &EndpointResponse) -> Result<TokenError, TokenError> {
    let error =
        |kind, what: &'static str| TokenError::new(kind, what).with_answer(answer.status, None);
    let later =
        answer.status.is_server_error() || matches!(answer.status.as_u16(), 408 | 425 | 429);
    if later {
        let now = SystemTime::now();
        let wait = retry_after::retry_after(&answer.headers, now, retry_after::MAX);
        let what = "the issuer's metadata is not available for the moment";
        return Err(error(TokenErrorKind::Unavailable, what).with_retry_after(wait));
    }
    if answer.status.is_client_error() {
        return Ok(error(TokenErrorKind::Config, "the issuer has no metadata"));
    }
    let what = "the issuer answered with a status that makes no sense here";
    Err(error(TokenErrorKind::InvalidResponse, what))
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
