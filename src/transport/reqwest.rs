//! The reqwest client of the default transport.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use reqwest::{Body, Certificate, Client, Identity, redirect, retry};

use crate::error::{BoxError, TokenError, TokenErrorKind};

const USER_AGENT: &str = concat!("tower-bearer/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that is built when it is first used. Clones share it.
#[derive(Clone)]
pub(super) struct LazyClient {
    settings: Settings,
    built: Arc<OnceLock<Result<Client, Arc<reqwest::Error>>>>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) connect_timeout: Duration,
    pub(super) identity: Option<Identity>,
    pub(super) roots: Option<Vec<Certificate>>,
}

impl LazyClient {
    /// Changes the settings. The other clones keep theirs, and their client.
    pub(super) fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.built = Arc::default();
        self
    }

    fn client(&self) -> Result<&Client, TokenError> {
        let built = self.built.get_or_init(|| {
            let settings = self.settings.clone();
            let mut builder = Client::builder();
            if let Some(identity) = settings.identity {
                builder = builder.identity(identity);
            }
            if let Some(roots) = settings.roots {
                builder = builder.tls_certs_only(roots);
            }
            builder
                .user_agent(USER_AGENT)
                .connect_timeout(settings.connect_timeout)
                .redirect(redirect::Policy::none())
                .retry(retry::never())
                // Token requests are rare, and an idle connection may belong to
                // a runtime that has ended.
                .pool_max_idle_per_host(0)
                .build()
                .map_err(|e| Arc::new(e.without_url()))
        });
        built.as_ref().map_err(|e| {
            let what = "the client for token requests could not be built";
            TokenError::new(TokenErrorKind::Config, what).with_source(Arc::clone(e))
        })
    }
}

impl Default for LazyClient {
    fn default() -> Self {
        let settings = Settings {
            connect_timeout: CONNECT_TIMEOUT,
            identity: None,
            roots: None,
        };
        Self {
            settings,
            built: Arc::default(),
        }
    }
}

impl fmt::Debug for LazyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyClient")
            .field("connect_timeout", &self.settings.connect_timeout)
            .finish_non_exhaustive()
    }
}

/// The response's future.
pub(super) type Exchange =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;

pub(super) type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

impl LazyClient {
    pub(super) fn send(&self, request: Request<Full<Bytes>>) -> Exchange {
        let client = self.client().cloned();
        Box::pin(async move {
            let request = request.map(Body::wrap).try_into().map_err(bare)?;
            let response = client?.execute(request).await.map_err(bare)?;
            Ok(Response::from(response).map(|body| body.map_err(bare).boxed_unsync()))
        })
    }
}

/// Removes the URL, whose query may hold a secret.
fn bare(error: reqwest::Error) -> BoxError {
    error.without_url().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_is_built_outside_any_runtime() {
        assert!(tokio::runtime::Handle::try_current().is_err());
        assert!(LazyClient::default().client().is_ok());
    }

    #[test]
    fn clones_share_one_client() {
        let first = LazyClient::default();
        let second = first.clone();
        assert!(first.client().is_ok());
        assert!(second.built.get().is_some());
    }
}
