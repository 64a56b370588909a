//! The default transport.

use std::path::PathBuf;
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
    reqwest::Proxy,
    tower_service::Service,
};

#[cfg(feature = "reqwest")]
use crate::{
    error::{BoxError, ConfigError},
    transport::pem::{self, Pem},
    transport::reqwest::{Exchange, HttpVersion, LazyClient, ProxyChoice, ResponseBody, Settings},
};

/// Transport of a grant that was given no other.
///
/// With the feature `reqwest` it is a client with rustls that follows no redirect,
/// keeps no cookies and no idle connection, and uses the proxies named in the
/// environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`). It is built
/// on first use and belongs to no runtime, so a grant can be a `static`. If it
/// cannot be built because file descriptors or certificates are missing, the request
/// fails and the next one tries again.
///
/// Plain http on loopback never goes through a proxy, whatever the environment says,
/// and needs no certificates. Plain http elsewhere, which only
/// [`allow_plain_http`](crate::allow_plain_http) permits, goes through `HTTP_PROXY`
/// if that is set, and the proxy can read what is sent.
///
/// Without that feature it is not a [`Transport`](super::Transport), and a grant
/// needs one from its [`transport`](crate::grant::Grant::transport) method:
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

    /// Returns the files of the certificate that the client presents.
    pub(crate) fn certificate_files(&self) -> Vec<PathBuf> {
        #[cfg(feature = "reqwest")]
        let files = self.client.certificate_files();
        #[cfg(not(feature = "reqwest"))]
        let files = Vec::new();
        files
    }
}

#[cfg(feature = "reqwest")]
impl DefaultTransport {
    /// Sets how long name resolution, TCP and TLS may take together. Default: 5
    /// seconds. The grant's [timeout](crate::grant::Grant::timeout) applies as well.
    /// Needs the feature `reqwest`.
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
        let identity = pem::identity(pem.as_ref())
            .map_err(|what| ConfigError::new("client_certificate", what))?;
        Ok(self.set(|settings| settings.identity = Some(Pem::Parsed(identity))))
    }

    /// Sets the certificate that the client presents, as
    /// [`client_certificate`](Self::client_certificate) does, from PEM files: one
    /// with both, or one each for the certificate and its key. They are read for
    /// each token request, so they can be replaced while the program runs. Needs the
    /// feature `reqwest`.
    ///
    /// ```
    /// use tower_bearer::transport::DefaultTransport;
    ///
    /// // As cert-manager and Kubernetes mount them.
    /// let transport = DefaultTransport::new()
    ///     .client_certificate_files(["/run/tls/tls.crt", "/run/tls/tls.key"])
    ///     .root_certificates_file("/run/tls/ca.crt");
    /// # let _ = transport;
    /// ```
    ///
    /// If one of them cannot be read, or they do not belong together, the token
    /// request fails with a transient error that names them.
    #[must_use]
    pub fn client_certificate_files<P: Into<PathBuf>>(
        self,
        paths: impl IntoIterator<Item = P>,
    ) -> Self {
        let paths = paths.into_iter().map(Into::into).collect();
        self.set(|settings| settings.identity = Some(Pem::Files(paths)))
    }

    /// Sets the certificate authorities to trust instead of the system's: PEM with
    /// one or more certificates. Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// Fails if the PEM has no certificate.
    pub fn root_certificates(self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let roots =
            pem::roots(pem.as_ref()).map_err(|what| ConfigError::new("root_certificates", what))?;
        Ok(self.set(|settings| settings.roots = Some(Pem::Parsed(roots))))
    }

    /// Sets the certificate authorities to trust instead of the system's, from a PEM
    /// file that is read for each token request, so that it can be replaced while
    /// the program runs. Needs the feature `reqwest`.
    #[must_use]
    pub fn root_certificates_file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.set(|settings| settings.roots = Some(Pem::Files(vec![path])))
    }

    /// Trusts the system's certificate authorities in addition to those that
    /// [`root_certificates`](Self::root_certificates) sets. Needs the feature
    /// `reqwest`.
    #[must_use]
    pub fn keep_system_roots(self) -> Self {
        self.set(|settings| settings.keeps_system_roots = true)
    }

    /// Sends token requests through this proxy instead of those named in the
    /// environment: `http://proxy:3128`, with a user name and a password if it needs
    /// them. With the feature `socks` also `socks5://` (names are resolved locally),
    /// `socks5h://` (by the proxy), `socks4://` and `socks4a://`. Plain http on
    /// loopback does not go through it. Needs the feature `reqwest`.
    ///
    /// ```
    /// # fn transport() -> Result<(), tower_bearer::ConfigError> {
    /// use tower_bearer::transport::DefaultTransport;
    ///
    /// let transport = DefaultTransport::new().proxy("http://user:password@proxy:3128")?;
    /// # let _ = transport; Ok(()) }
    /// # transport().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if it is not a proxy URL. The error does not quote it.
    pub fn proxy(self, url: impl AsRef<str>) -> Result<Self, ConfigError> {
        let refuse = |reason| Err(ConfigError::new("proxy", reason));
        let Some((scheme, _)) = url.as_ref().split_once("://") else {
            return refuse("has no scheme: write `http://host:port`");
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => {}
            "socks4" | "socks4a" | "socks5" | "socks5h" if cfg!(feature = "socks") => {}
            "socks4" | "socks4a" | "socks5" | "socks5h" => {
                return refuse("needs tower-bearer's feature `socks`");
            }
            _ => return refuse("has a scheme other than http, https and socks5"),
        }
        let Ok(proxy) = Proxy::all(url.as_ref()) else {
            return refuse("is not a URL");
        };
        let proxy = ProxyChoice::Proxy(Box::new(proxy));
        Ok(self.set(|settings| settings.proxy = proxy))
    }

    /// Sends token requests through no proxy, whatever the environment says. Needs
    /// the feature `reqwest`.
    #[must_use]
    pub fn no_proxy(self) -> Self {
        self.set(|settings| settings.proxy = ProxyChoice::None)
    }

    /// Uses only HTTP/1.1. Default: the server's choice in the TLS handshake, HTTP/2
    /// if it supports it and the feature `http2` is enabled. Needs the feature
    /// `reqwest`.
    #[must_use]
    pub fn http1_only(self) -> Self {
        self.set(|settings| settings.version = HttpVersion::Http1)
    }

    /// Uses only HTTP/2, without negotiation (RFC 9113, section 3.3). Needs the
    /// feature `http2`.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2_only(self) -> Self {
        self.set(|settings| settings.version = HttpVersion::Http2)
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

    #[test]
    fn what_is_no_proxy_is_refused_and_not_quoted() {
        for (url, reason) in [
            ("hunter2", "no scheme"),
            ("proxy:3128", "no scheme"),
            ("ftp://hunter2@proxy", "scheme other"),
            ("http://me:hunter2@", "not a URL"),
            ("http://proxy:hunter2/", "not a URL"),
        ] {
            let error = DefaultTransport::new().proxy(url).expect_err(url);
            assert_eq!(error.field(), "proxy");
            assert!(error.to_string().contains(reason), "{url}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let socks = DefaultTransport::new().proxy("socks5h://me:hunter2@proxy");
        assert_eq!(socks.is_ok(), cfg!(feature = "socks"));
    }
}
