//! The reqwest client of the default transport.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use reqwest::{Body, Certificate, Client, Identity, redirect, retry};
use tower_service::Service;

use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::transport::DefaultTransport;

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

impl Service<Request<Full<Bytes>>> for DefaultTransport {
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let client = self.client.client().cloned();
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
        let first = DefaultTransport::new();
        let second = first.clone();
        assert!(first.client.client().is_ok());
        assert!(second.client.built.get().is_some());
    }

    #[test]
    fn a_connect_timeout_of_zero_is_refused_by_name() {
        let error = DefaultTransport::new()
            .connect_timeout(Duration::ZERO)
            .expect_err("zero");
        assert_eq!(error.field(), "connect_timeout");
    }
}
