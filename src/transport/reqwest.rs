//! The reqwest client of the default transport.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use reqwest::{Body, Certificate, Client, ClientBuilder, Identity, Proxy, redirect};
use zeroize::Zeroizing;

use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::plain_http::{is_plain, stays_here};
use crate::secret_file;
use crate::sync::lock;
use crate::transport::pem::{self, Pem};

const USER_AGENT: &str = concat!("tower-bearer/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients that are built on first use and shared by clones.
#[derive(Clone)]
pub(super) struct LazyClient {
    settings: Settings,
    built: Arc<Clients>,
}

#[derive(Default)]
struct Clients {
    /// For plain http on this machine: no proxy, no certificates.
    local: Mutex<Option<Built>>,
    remote: Mutex<Option<Built>>,
}

/// A client, and what its files held when it was built.
struct Built {
    client: Client,
    files: Vec<Zeroizing<Vec<u8>>>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) connect_timeout: Duration,
    pub(super) identity: Option<Pem<Identity>>,
    pub(super) roots: Option<Pem<Vec<Certificate>>>,
    pub(super) keeps_system_roots: bool,
    pub(super) proxy: ProxyChoice,
    pub(super) version: HttpVersion,
}

#[derive(Clone)]
pub(super) enum ProxyChoice {
    Environment,
    None,
    Proxy(Box<Proxy>),
}

#[derive(Clone, Copy)]
pub(super) enum HttpVersion {
    Negotiated,
    Http1,
    #[cfg(feature = "http2")]
    Http2,
}

impl Settings {
    fn certificate_files(&self) -> &[PathBuf] {
        match &self.identity {
            Some(Pem::Files(files)) => files,
            _ => &[],
        }
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.certificate_files();
        let roots = match &self.roots {
            Some(Pem::Files(files)) => files.as_slice(),
            _ => &[],
        };
        identity.iter().chain(roots)
    }

    /// Returns a client builder with the settings other than proxies and
    /// certificates.
    fn builder(&self) -> ClientBuilder {
        let builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.connect_timeout)
            .redirect(redirect::Policy::none())
            // Token requests are rare, and an idle connection may belong to a
            // runtime that has ended.
            .pool_max_idle_per_host(0);
        match self.version {
            HttpVersion::Negotiated => builder,
            HttpVersion::Http1 => builder.http1_only(),
            #[cfg(feature = "http2")]
            HttpVersion::Http2 => builder.http2_prior_knowledge(),
        }
    }

    fn with_proxy(&self, builder: ClientBuilder) -> ClientBuilder {
        match &self.proxy {
            ProxyChoice::Environment => builder,
            ProxyChoice::None => builder.no_proxy(),
            ProxyChoice::Proxy(proxy) => builder.proxy(Proxy::clone(proxy)),
        }
    }

    fn local(&self) -> Result<Client, TokenError> {
        let builder = self.builder().no_proxy().tls_certs_only([]);
        builder.build().map_err(not_built)
    }

    /// Builds a client for plain http when no certificates are available, which
    /// works unless the proxy uses TLS.
    fn without_certificates(&self) -> Result<Client, TokenError> {
        let builder = self.with_proxy(self.builder()).tls_certs_only([]);
        builder.build().map_err(not_built)
    }

    /// Builds the client with the contents of the files, in the order of
    /// [`files`](Self::files).
    fn remote(&self, files: &[Zeroizing<Vec<u8>>]) -> Result<Client, TokenError> {
        let mut files = files.iter();
        let mut builder = self.with_proxy(self.builder());
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.read(files.by_ref(), pem::identity)?);
        }
        if let Some(roots) = &self.roots {
            let roots = roots.read(files, pem::roots)?;
            builder = match self.keeps_system_roots {
                true => builder.tls_certs_merge(roots),
                false => builder.tls_certs_only(roots),
            };
        }
        builder.build().map_err(not_built)
    }
}

/// Returns a transient error, for a moment without file descriptors or a file that
/// is being replaced.
fn not_built(error: reqwest::Error) -> TokenError {
    let what = "the client for token requests could not be built";
    TokenError::new(TokenErrorKind::Connect, what).with_source(error.without_url())
}

impl LazyClient {
    pub(super) fn certificate_files(&self) -> Vec<PathBuf> {
        self.settings.certificate_files().to_vec()
    }

    /// Changes the settings. Other clones keep theirs, and their clients.
    pub(super) fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.built = Arc::default();
        self
    }

    /// Returns the client for this URI, if it exists and no file has to be read.
    fn ready(&self, uri: &Uri) -> Option<Client> {
        let slot = match is_local(uri) {
            true => &self.built.local,
            false if self.settings.files().next().is_some() => return None,
            false => &self.built.remote,
        };
        lock(slot).as_ref().map(|built| built.client.clone())
    }

    /// Returns the client for this URI. Reads files: the system's authorities, and
    /// those that were set.
    fn client(&self, uri: &Uri) -> Result<Client, TokenError> {
        if is_local(uri) {
            return get_or_build(&self.built.local, Vec::new(), |_| self.settings.local());
        }
        let remote = self.read_files().and_then(|files| {
            get_or_build(&self.built.remote, files, |files| {
                self.settings.remote(files)
            })
        });
        match remote {
            Err(_) if is_plain(uri) => self.settings.without_certificates(),
            remote => remote,
        }
    }

    fn read_files(&self) -> Result<Vec<Zeroizing<Vec<u8>>>, TokenError> {
        let read = |path: &PathBuf| {
            secret_file::read_bytes(path).map_err(|error| {
                let what = format!("{} could not be read", path.display());
                TokenError::new(TokenErrorKind::Source, what).with_source(error)
            })
        };
        self.settings.files().map(read).collect()
    }
}

/// Returns whether a request stays on this machine, unencrypted: no proxy may see
/// it.
fn is_local(uri: &Uri) -> bool {
    is_plain(uri) && stays_here(uri)
}

/// Returns the client, building it if needed. A failure is not kept: the next call
/// tries again.
fn get_or_build(
    slot: &Mutex<Option<Built>>,
    files: Vec<Zeroizing<Vec<u8>>>,
    build: impl FnOnce(&[Zeroizing<Vec<u8>>]) -> Result<Client, TokenError>,
) -> Result<Client, TokenError> {
    let mut slot = lock(slot);
    if let Some(built) = &*slot
        && built.files == files
    {
        return Ok(built.client.clone());
    }
    let client = build(&files)?;
    *slot = Some(Built {
        client: client.clone(),
        files,
    });
    Ok(client)
}

impl Default for LazyClient {
    fn default() -> Self {
        let settings = Settings {
            connect_timeout: CONNECT_TIMEOUT,
            identity: None,
            roots: None,
            keeps_system_roots: false,
            proxy: ProxyChoice::Environment,
            version: HttpVersion::Negotiated,
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
        let this = self.clone();
        Box::pin(async move {
            let client = match this.ready(request.uri()) {
                Some(client) => client,
                None => {
                    let uri = request.uri().clone();
                    // Takes milliseconds, most of them for the authorities.
                    tokio::task::spawn_blocking(move || this.client(&uri)).await??
                }
            };
            let request = request.map(Body::wrap).try_into().map_err(bare)?;
            let response = client.execute(request).await.map_err(bare)?;
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

    fn remote() -> Uri {
        Uri::from_static("https://a.example/token")
    }

    fn local() -> Uri {
        Uri::from_static("http://localhost:8080/token")
    }

    #[test]
    fn clients_are_built_outside_any_runtime() {
        assert!(tokio::runtime::Handle::try_current().is_err());
        for uri in [remote(), local()] {
            assert!(LazyClient::default().client(&uri).is_ok(), "{uri}");
        }
    }

    #[test]
    fn clones_share_one_client() {
        let first = LazyClient::default();
        let second = first.clone();
        assert!(second.ready(&remote()).is_none());
        assert!(first.client(&remote()).is_ok());
        assert!(second.ready(&remote()).is_some() && second.ready(&local()).is_none());
    }

    #[test]
    fn a_client_that_could_not_be_built_is_tried_again() {
        let slot = Mutex::default();
        let fails = |_: &[_]| Err(TokenError::new(TokenErrorKind::Connect, "no descriptors"));
        assert!(get_or_build(&slot, Vec::new(), fails).is_err());
        assert!(
            get_or_build(&slot, Vec::new(), |_| LazyClient::default()
                .settings
                .local())
            .is_ok()
        );
        assert!(get_or_build(&slot, Vec::new(), fails).is_ok());
        let changed = vec![Zeroizing::new(b"other".to_vec())];
        assert!(get_or_build(&slot, changed, fails).is_err());
    }
}
