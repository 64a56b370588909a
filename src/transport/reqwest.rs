//! The default transport's client.

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

use crate::error::{BoxError, ConfigError, TokenError, TokenErrorKind};
use crate::transport::DefaultTransport;

const USER_AGENT: &str = concat!("tower-bearer/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that is built when it is first used; clones share it.
#[derive(Clone)]
pub(super) struct LazyClient {
    settings: Settings,
    built: Arc<OnceLock<Result<Client, Arc<reqwest::Error>>>>,
}

#[derive(Clone)]
struct Settings {
    connect_timeout: Duration,
    identity: Option<Identity>,
    roots: Option<Vec<Certificate>>,
}

impl LazyClient {
    /// A client of its own: the other clones keep the one they have.
    fn with(mut settings: Settings, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut settings);
        Self {
            settings,
            built: Arc::default(),
        }
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
                // A token request every 40 minutes gains nothing from an idle
                // connection, which may belong to a runtime that is gone.
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
        Self::with(settings, |_| {})
    }
}

impl fmt::Debug for LazyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyClient")
            .field("connect_timeout", &self.settings.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl DefaultTransport {
    /// Sets how long name resolution, TCP and TLS may take together; 5 s if
    /// never set. The grant's own timeout rules as well. Needs the feature
    /// `reqwest`.
    ///
    /// # Errors
    ///
    /// If it is zero.
    pub fn connect_timeout(self, timeout: Duration) -> Result<Self, ConfigError> {
        if timeout.is_zero() {
            return Err(ConfigError::new("connect_timeout", "is zero"));
        }
        Ok(self.set(|settings| settings.connect_timeout = timeout))
    }

    /// Sets the certificate that the client shows, for
    /// [`ClientAuth::tls_client_auth`](crate::grant::ClientAuth::tls_client_auth) (RFC 8705): PEM with
    /// its chain and its private key, in any order. Needs the feature
    /// `reqwest`.
    ///
    /// ```
    /// # fn grant(identity: Vec<u8>, authority: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant};
    /// use tower_bearer::transport::DefaultTransport;
    ///
    /// let transport = DefaultTransport::new()
    ///     .client_certificate(identity)?
    ///     .root_certificates(authority)?;
    /// let grant = ClientCredentialsGrant::new("https://auth.example.com/token", "billing")?
    ///     .client_auth(ClientAuth::tls_client_auth())
    ///     .transport(transport);
    /// # let _ = grant; Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no certificate or no private key in it. The error quotes
    /// nothing.
    pub fn client_certificate(self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let identity = Identity::from_pem(pem.as_ref()).map_err(|_| {
            let reason = "is no PEM with a certificate and its private key";
            ConfigError::new("client_certificate", reason)
        })?;
        Ok(self.set(|settings| settings.identity = Some(identity)))
    }

    /// Sets the certificates of authorities to trust, in place of the system's:
    /// PEM with one or more. Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// If there is none in it.
    pub fn root_certificates(self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let roots = Certificate::from_pem_bundle(pem.as_ref()).unwrap_or_default();
        if roots.is_empty() {
            let reason = "is no PEM with a certificate";
            return Err(ConfigError::new("root_certificates", reason));
        }
        Ok(self.set(|settings| settings.roots = Some(roots)))
    }

    fn set(self, change: impl FnOnce(&mut Settings)) -> Self {
        Self {
            client: LazyClient::with(self.client.settings, change),
        }
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

/// Without the URL, whose query may hold what nobody should read in a log.
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
