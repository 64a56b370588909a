//! The URLs of a store, and what they come to.

use redis::cluster::ClusterClientBuilder;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::Url;

use super::target::{Limits, Sentinels, Target, is_tls};
use crate::error::ConfigError;

const SENTINEL_PORT: u16 = 26379;
const URL: &str = "not redis[s]://[user:password@]host[:port][/database]";

#[derive(Clone)]
pub(super) enum Place {
    Server(String),
    Sentinels {
        sentinels: Vec<String>,
        /// With its name for the host.
        master: String,
    },
    Cluster(Vec<String>),
}

// The reasons of the parsers could quote a URL, which holds a password.
impl Place {
    pub(super) fn target(
        &self,
        pem: Option<Vec<u8>>,
        limits: Limits,
    ) -> Result<Target, ConfigError> {
        let certificates = pem.map(certificates).transpose()?;
        match self {
            Self::Server(url) => {
                let url = parsed("url", url.as_str())?;
                Ok(Target::Server(Box::new(client(
                    url,
                    certificates.as_ref(),
                )?)))
            }
            Self::Sentinels { sentinels, master } => sentinels_of(sentinels, master, certificates),
            Self::Cluster(nodes) => cluster(nodes, certificates, limits),
        }
    }
}

fn sentinels_of(
    urls: &[String],
    master: &str,
    certificates: Option<TlsCertificates>,
) -> Result<Target, ConfigError> {
    let sentinels = urls
        .iter()
        .map(|url| {
            let mut url = Url::parse(url).map_err(|_| ConfigError::new("sentinels", URL))?;
            if url.port().is_none() {
                let _ = url.set_port(Some(SENTINEL_PORT));
            }
            parsed("sentinels", url)
        })
        .collect::<Result<Vec<_>, _>>()?;
    are_alike("sentinels", &sentinels)?;
    let master = parsed("url", master)?;
    let (ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. }) = master.addr()
    else {
        return Err(ConfigError::new("url", "a master has a name"));
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
    built.map_err(|_| ConfigError::new("sentinels", "not to be used with these certificates"))?;
    Ok(Target::Sentinels(Box::new(sentinels)))
}

fn cluster(
    urls: &[String],
    certificates: Option<TlsCertificates>,
    limits: Limits,
) -> Result<Target, ConfigError> {
    let nodes = urls.iter().map(|url| parsed("url", url.as_str()));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    are_alike("url", &nodes)?;
    let clients = nodes
        .iter()
        .map(|node| client(node.clone(), certificates.as_ref()))
        .collect::<Result<_, _>>()?;
    let mut builder = ClusterClientBuilder::new(nodes)
        .connection_timeout(limits.connect)
        .response_timeout(limits.response)
        // It would send again what may have run.
        .retries(0);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    let client = builder.build();
    let client = client.map_err(|_| ConfigError::new("url", "not nodes of one cluster"))?;
    Ok(Target::Cluster(Box::new(client), clients))
}

fn parsed(
    field: &'static str,
    url: impl IntoConnectionInfo,
) -> Result<ConnectionInfo, ConfigError> {
    url.into_connection_info()
        .map_err(|_| ConfigError::new(field, URL))
}

/// Whoever is told of one has told of all: no database, and the same credentials.
fn are_alike(field: &'static str, all: &[ConnectionInfo]) -> Result<(), ConfigError> {
    let Some(first) = all.first() else {
        return Err(ConfigError::new(field, "there is none"));
    };
    let who = |info: &ConnectionInfo| {
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
                "not redis[s]://[user:password@]host[:port]",
            ));
        }
        if who(info) != who(first) {
            let reason = "not all with the same scheme, user and password";
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
        None => Client::open(url).map_err(|_| ConfigError::new("url", "not to be used")),
        Some(it) => Client::build_with_tls(url, it.clone()).map_err(|_| no_certificates()),
    }
}

fn certificates(pem: Vec<u8>) -> Result<TlsCertificates, ConfigError> {
    // None at all would be trusted to be none, and fail when it connects.
    if CertificateDer::pem_slice_iter(&pem).next().is_none() {
        return Err(no_certificates());
    }
    Ok(TlsCertificates {
        client_tls: None,
        root_cert: Some(pem),
    })
}

fn no_certificates() -> ConfigError {
    let reason = "no certificates in PEM, or the URL is not rediss://";
    ConfigError::new("root_certificates", reason)
}
