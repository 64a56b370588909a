//! The transport of a grant that was given no other.

#[cfg(feature = "reqwest")]
use std::{
    task::{Context, Poll},
    time::Duration,
};

#[cfg(feature = "reqwest")]
use {
    bytes::Bytes,
    http::{Request, Response},
    http_body_util::Full,
    reqwest::{Certificate, Identity},
    tower_service::Service,
};

#[cfg(feature = "reqwest")]
use crate::{
    error::{BoxError, ConfigError},
    transport::reqwest::{Exchange, LazyClient, ResponseBody, Settings},
};

/// The transport of a grant that was given no other.
///
/// With the feature `reqwest` it is a client with rustls that follows no
/// redirect, keeps no cookies and no idle connection, and uses the proxies named
/// in the environment. It is built at its first use and belongs to no runtime, so
/// a grant can live in a `static`.
///
/// Without that feature it is not a [`Transport`](super::Transport), and a grant
/// needs one by its [`transport`](crate::grant::Grant::transport) method:
#[cfg_attr(feature = "reqwest", doc = "```")]
#[cfg_attr(not(feature = "reqwest"), doc = "```compile_fail")]
/// use tower_bearer::{PasswordGrant, TokenSource};
///
/// fn source(_: impl TokenSource) {}
/// source(PasswordGrant::voipex("your@email.com", "password"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct DefaultTransport {
    #[cfg(feature = "reqwest")]
    client: LazyClient,
}

impl DefaultTransport {
    /// Creates the default transport with its default settings.
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(feature = "reqwest")]
impl DefaultTransport {
    /// Sets how long name resolution, TCP and TLS may take together. Default: 5
    /// seconds. The [timeout](crate::grant::Grant::timeout) of the grant applies
    /// as well. Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// Fails if it is zero.
    pub fn connect_timeout(self, timeout: Duration) -> Result<Self, ConfigError> {
        if timeout.is_zero() {
            return Err(ConfigError::new("connect_timeout", "is zero"));
        }
        Ok(self.set(|settings| settings.connect_timeout = timeout))
    }

    /// Sets the certificate that the client presents, for
    /// [`ClientAuth::tls_client_auth`](crate::grant::ClientAuth::tls_client_auth)
    /// (RFC 8705): PEM with its chain and its private key, in any order. Needs
    /// the feature `reqwest`.
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
    /// Fails if the PEM has no certificate or no private key. The error quotes
    /// nothing.
    pub fn client_certificate(self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let identity = Identity::from_pem(pem.as_ref()).map_err(|_| {
            let reason = "is not PEM with a certificate and its private key";
            ConfigError::new("client_certificate", reason)
        })?;
        Ok(self.set(|settings| settings.identity = Some(identity)))
    }

    /// Sets the certificate authorities to trust in place of the system's: PEM
    /// with one or more certificates. Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// Fails if the PEM has no certificate.
    pub fn root_certificates(self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let roots = Certificate::from_pem_bundle(pem.as_ref()).unwrap_or_default();
        if roots.is_empty() {
            let reason = "is not PEM with a certificate";
            return Err(ConfigError::new("root_certificates", reason));
        }
        Ok(self.set(|settings| settings.roots = Some(roots)))
    }

    fn set(self, change: impl FnOnce(&mut Settings)) -> Self {
        Self {
            client: self.client.set(change),
        }
    }
}

#[cfg(feature = "reqwest")]
impl Service<Request<Full<Bytes>>> for DefaultTransport {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Exchange;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.client.send(request)
    }
}

#[cfg(all(test, feature = "reqwest"))]
mod tests {
    use super::*;

    #[test]
    fn a_connect_timeout_of_zero_is_refused_by_name() {
        let error = DefaultTransport::new()
            .connect_timeout(Duration::ZERO)
            .expect_err("zero");
        assert_eq!(error.field(), "connect_timeout");
    }
}
