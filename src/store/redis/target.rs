//! What the store connects to: one server, a master found through sentinels, or a
//! cluster.

use std::pin::Pin;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisResult, TlsCertificates,
    TlsMode,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

#[derive(Clone)]
pub(super) enum Target {
    Server(Box<Client>),
    Sentinels(Box<Sentinels>),
    /// A cluster, and a client for each of its seed nodes.
    Cluster(Box<ClusterClient>, Vec<Client>),
}

/// The sentinels that know the master, and how to connect to it.
#[derive(Clone)]
pub(super) struct Sentinels {
    pub(super) sentinels: Vec<ConnectionInfo>,
    /// The host in it is the master's name.
    pub(super) master: ConnectionInfo,
    pub(super) name: String,
    pub(super) certificates: Option<TlsCertificates>,
}

/// A boxed future: those of the redis crate are large, and so are the callers'.
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = RedisResult<T>> + Send + 'a>>;

#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) response: Duration,
}

/// A connection of the redis crate. None of them sends a command a second time or
/// reconnects on its own: the crate's pauses between attempts are the same in every
/// process.
#[derive(Clone)]
pub(super) enum Backend {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Target {
    /// Returns how many connections must be opened in sequence before the scripts
    /// can run.
    pub(super) fn hops(&self) -> u32 {
        match self {
            Self::Server(_) => 1,
            Self::Cluster(..) => 2,
            // A sentinel, the master to confirm its role, the master again.
            Self::Sentinels(_) => 3,
        }
    }

    pub(super) fn connect(&self, timeouts: Timeouts) -> BoxFuture<'_, Backend> {
        Box::pin(self.connect_unboxed(timeouts))
    }

    async fn connect_unboxed(&self, timeouts: Timeouts) -> RedisResult<Backend> {
        // The caller limits the whole operation.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(4 * timeouts.connect))
            .set_response_timeout(None);
        let client = match self {
            Self::Server(client) => {
                ensure_crypto_provider(client.get_connection_info().addr());
                client.as_ref().clone()
            }
            Self::Sentinels(sentinels) => sentinels.master().await?,
            Self::Cluster(cluster, nodes) => {
                for node in nodes {
                    ensure_crypto_provider(node.get_connection_info().addr());
                }
                return Ok(Backend::Cluster(cluster.get_async_connection().await?));
            }
        };
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        Ok(Backend::Server(connection.await?))
    }

    /// Returns a client of a server that publishes the changes. In a cluster every
    /// node does, and each attempt uses the next one.
    pub(super) fn pubsub_client(&self, attempt: usize) -> BoxFuture<'_, Client> {
        Box::pin(async move {
            let client = match self {
                Self::Server(client) => client.as_ref().clone(),
                Self::Sentinels(sentinels) => sentinels.master().await?,
                Self::Cluster(_, nodes) => nodes[attempt % nodes.len()].clone(),
            };
            ensure_crypto_provider(client.get_connection_info().addr());
            Ok(client)
        })
    }
}

impl Sentinels {
    /// Asks the sentinels for the current master, on connections that are closed
    /// afterwards.
    async fn master(&self) -> RedisResult<Client> {
        let servers = self.sentinels.iter().chain([&self.master]);
        servers.for_each(|it| ensure_crypto_provider(it.addr()));
        self.sentinel_builder()?.build()?.async_get_client().await
    }

    /// Returns the redis crate's builder, which also checks the settings.
    pub(super) fn sentinel_builder(&self) -> RedisResult<SentinelClientBuilder> {
        let addresses = self.sentinels.iter().map(|it| it.addr().clone());
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(addresses, &self.name, kind)?;
        let certificates = || self.certificates.clone();
        if let Some(sentinel) = self.sentinels.first() {
            if let Some(user) = sentinel.redis_settings().username() {
                builder = builder.set_client_to_sentinel_username(user);
            }
            if let Some(password) = sentinel.redis_settings().password() {
                builder = builder.set_client_to_sentinel_password(password);
            }
            if let (true, Some(pem)) = (is_tls(sentinel.addr()), certificates()) {
                builder = builder.set_client_to_sentinel_certificates(pem);
            }
        }
        let master = self.master.redis_settings();
        if let Some(user) = master.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = master.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if is_tls(self.master.addr()) {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            if let Some(pem) = certificates() {
                builder = builder.set_client_to_redis_certificates(pem);
            }
        }
        Ok(builder.set_client_to_redis_db(master.db()))
    }
}

pub(super) fn is_tls(address: &ConnectionAddr) -> bool {
    matches!(address, ConnectionAddr::TcpTls { .. })
}

/// Installs a cryptography provider for rustls, which `rediss://` needs, unless the
/// program has installed its own. Called right before a connection is opened, so
/// that the program comes first.
fn ensure_crypto_provider(address: &ConnectionAddr) {
    if is_tls(address) && CryptoProvider::get_default().is_none() {
        // Another thread may have installed one meanwhile.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}
