//! The URLs of a store, parsed and checked.

use std::num::NonZeroUsize;

use redis::cluster::ClusterClientBuilder;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::Url;

use super::target::{Sentinels, Target, Timeouts, is_tls};
use crate::error::ConfigError;

const SENTINEL_PORT: u16 = 26379;
const NOT_A_URL: &str = "expected redis[s]://[user:password@]host[:port][/database]";

#[derive(Clone)]
pub(super) enum Address {
    Server(String),
    Sentinels {
        sentinels: Vec<String>,
        /// The URL of the master, with its name as the host.
        master: String,
    },
    Cluster(Vec<String>),
}

// The parsers' own messages are left out: they could quote a URL, which may hold a
// password.
impl Address {
    pub(super) fn target(
        &self,
        pem: Option<Vec<u8>>,
        timeouts: Timeouts,
    ) -> Result<Target, ConfigError> {
        let certificates = pem.map(certificates).transpose()?;
        match self {
            Self::Server(url) => {
                let url = parse("url", url.as_str())?;
                Ok(Target::Server(Box::new(client(
                    url,
                    certificates.as_ref(),
                )?)))
            }
            Self::Sentinels { sentinels, master } => {
                sentinels_target(sentinels, master, certificates)
            }
            Self::Cluster(nodes) => cluster_target(nodes, certificates, timeouts),
        }
    }
}

fn sentinels_target(
    urls: &[String],
    master: &str,
    certificates: Option<TlsCertificates>,
) -> Result<Target, ConfigError> {
    let sentinels = urls
        .iter()
        .map(|url| {
            let mut url = Url::parse(url).map_err(|_| ConfigError::new("sentinels", NOT_A_URL))?;
            if url.port().is_none() {
                let _ = url.set_port(Some(SENTINEL_PORT));
            }
            parse("sentinels", url)
        })
        .collect::<Result<Vec<_>, _>>()?;
    check_alike("sentinels", &sentinels)?;
    let master = parse("url", master)?;
    let (ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. }) = master.addr()
    else {
        return Err(ConfigError::new(
            "url",
            "expected the master's name in place of the host",
        ));
    };
    if certificates.is_some()
        && !sentinels
            .iter()
            .chain([&master])
            .any(|it| is_tls(it.addr()))
    {
        return Err(no_certificates());
    }
    let sentinels = Sentinels {
        name: name.clone(),
        sentinels,
        master,
        certificates,
    };
    let built = sentinels.sentinel_builder().and_then(|it| it.build());
    built.map_err(|_| ConfigError::new("sentinels", "cannot be used with these certificates"))?;
    Ok(Target::Sentinels(Box::new(sentinels)))
}

fn cluster_target(
    urls: &[String],
    certificates: Option<TlsCertificates>,
    timeouts: Timeouts,
) -> Result<Target, ConfigError> {
    let nodes = urls.iter().map(|url| parse("url", url.as_str()));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    check_alike("url", &nodes)?;
    let clients = nodes
        .iter()
        .map(|node| client(node.clone(), certificates.as_ref()))
        .collect::<Result<_, _>>()?;
    let mut builder = ClusterClientBuilder::new(nodes)
        .connection_timeout(timeouts.connect)
        .response_timeout(timeouts.response)
        // A retry could run a script twice.
        .retries(0)
        // The crate's pauses before it reconnects to a node are the same in every
        // process; after an error the whole connection is replaced instead.
        .max_connection_attempts(NonZeroUsize::MIN);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    let client = builder.build();
    let client =
        client.map_err(|_| ConfigError::new("url", "these are not the nodes of one cluster"))?;
    Ok(Target::Cluster(Box::new(client), clients))
}

fn parse(field: &'static str, url: impl IntoConnectionInfo) -> Result<ConnectionInfo, ConfigError> {
    url.into_connection_info()
        .map_err(|_| ConfigError::new(field, NOT_A_URL))
}

/// Checks that all servers have the same credentials and no database: the redis
/// crate takes these from one server for all.
fn check_alike(field: &'static str, all: &[ConnectionInfo]) -> Result<(), ConfigError> {
    let Some(first) = all.first() else {
        return Err(ConfigError::new(field, "at least one URL is required"));
    };
    let identity = |info: &ConnectionInfo| {
        let settings = info.redis_settings();
        let [user, password] = [settings.username(), settings.password()];
        (
            user.map(str::to_owned),
            password.map(str::to_owned),
            is_tls(info.addr()),
        )
    };
    let unix = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::Unix(_));
    for info in all {
        if info.redis_settings().db() != 0 || unix(info) {
            return Err(ConfigError::new(
                field,
                "expected redis[s]://[user:password@]host[:port]",
            ));
        }
        if identity(info) != identity(first) {
            let reason = "all URLs must have the same scheme, user and password";
            return Err(ConfigError::new(field, reason));
        }
    }
    Ok(())
}

fn client(
    url: ConnectionInfo,
    certificates: Option<&TlsCertificates>,
) -> Result<Client, ConfigError> {
    match certificates {
        None => Client::open(url).map_err(|_| ConfigError::new("url", "cannot be used")),
        Some(it) => Client::build_with_tls(url, it.clone()).map_err(|_| no_certificates()),
    }
}

fn certificates(pem: Vec<u8>) -> Result<TlsCertificates, ConfigError> {
    // The redis crate would accept an empty list, and fail on connecting.
    if CertificateDer::pem_slice_iter(&pem).next().is_none() {
        return Err(no_certificates());
    }
    Ok(TlsCertificates {
        client_tls: None,
        root_cert: Some(pem),
    })
}

fn no_certificates() -> ConfigError {
    let reason = "expected certificates in PEM, and a URL with rediss://";
    ConfigError::new("root_certificates", reason)
}
