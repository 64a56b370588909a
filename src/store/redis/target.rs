//! Where the store is: one server, a master that sentinels know, or a cluster.

use std::pin::Pin;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisResult, TlsCertificates,
    TlsMode,
};

use super::tls;

#[derive(Clone)]
pub(super) enum Target {
    Server(Box<Client>),
    Sentinels(Box<Sentinels>),
    /// With a client for each of the nodes that were named.
    Cluster(Box<ClusterClient>, Vec<Client>),
}

/// Who knows the master, and how to speak to it.
#[derive(Clone)]
pub(super) struct Sentinels {
    pub(super) sentinels: Vec<ConnectionInfo>,
    /// Its host is the master's name.
    pub(super) master: ConnectionInfo,
    pub(super) name: String,
    pub(super) certificates: Option<TlsCertificates>,
}

/// Boxed, for the futures of the crate are deep, and those of the callers deeper.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = RedisResult<T>> + Send + 'a>>;

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) response: Duration,
}

/// A connection on which scripts run. None sends anything a second time.
#[derive(Clone)]
pub(super) enum Connection {
    Server(ConnectionManager),
    Master(redis::aio::MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Target {
    /// How many connections one after the other it takes to be there.
    pub(super) fn hops(&self) -> u32 {
        match self {
            Self::Server(_) => 1,
            Self::Cluster(..) => 2,
            // A sentinel, the master for its role, the master.
            Self::Sentinels(_) => 3,
        }
    }

    pub(super) fn connect(&self, limits: Limits) -> Boxed<'_, Connection> {
        Box::pin(self.connected(limits))
    }

    async fn connected(&self, limits: Limits) -> RedisResult<Connection> {
        let (connect, response) = (Some(limits.connect), Some(limits.response));
        match self {
            Self::Server(client) => {
                tls::prepare(client.get_connection_info().addr());
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(connect)
                    .set_response_timeout(response)
                    // Whoever calls has its own pauses.
                    .set_number_of_retries(0);
                let manager =
                    ConnectionManager::new_lazy_with_config(client.as_ref().clone(), config)?;
                Ok(Connection::Server(manager))
            }
            Self::Sentinels(sentinels) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(connect)
                    .set_response_timeout(response);
                let master = sentinels.master().await?;
                let connection = master.get_multiplexed_async_connection_with_config(&config);
                Ok(Connection::Master(connection.await?))
            }
            Self::Cluster(cluster, nodes) => {
                for node in nodes {
                    tls::prepare(node.get_connection_info().addr());
                }
                Ok(Connection::Cluster(cluster.get_async_connection().await?))
            }
        }
    }

    /// The server that tells of changes: any node of a cluster does, each attempt
    /// is for the next one.
    pub(super) fn pubsub_client(&self, attempt: usize) -> Boxed<'_, Client> {
        Box::pin(async move {
            let client = match self {
                Self::Server(client) => client.as_ref().clone(),
                Self::Sentinels(sentinels) => sentinels.master().await?,
                Self::Cluster(_, nodes) => nodes[attempt % nodes.len()].clone(),
            };
            tls::prepare(client.get_connection_info().addr());
            Ok(client)
        })
    }
}

impl Sentinels {
    /// Who is the master now. Asked each time on connections of their own, which
    /// end with the sentinel_builder.
    async fn master(&self) -> RedisResult<Client> {
        let addresses = self.sentinels.iter().chain([&self.master]);
        addresses.for_each(|it| tls::prepare(it.addr()));
        self.sentinel_builder()?.build()?.async_get_client().await
    }

    /// The crate's form of it, which also says whether all fits together.
    pub(super) fn sentinel_builder(&self) -> RedisResult<SentinelClientBuilder> {
        let addresses = self.sentinels.iter().map(|it| it.addr().clone());
        let kind = SentinelServerType::Master;
        let mut sentinel_builder = SentinelClientBuilder::new(addresses, &self.name, kind)?;
        let certificates = || self.certificates.clone();
        if let Some(asked) = self.sentinels.first() {
            if let Some(user) = asked.redis_settings().username() {
                sentinel_builder = sentinel_builder.set_client_to_sentinel_username(user);
            }
            if let Some(password) = asked.redis_settings().password() {
                sentinel_builder = sentinel_builder.set_client_to_sentinel_password(password);
            }
            if let (true, Some(pem)) = (is_tls(asked.addr()), certificates()) {
                sentinel_builder = sentinel_builder.set_client_to_sentinel_certificates(pem);
            }
        }
        let master = self.master.redis_settings();
        if let Some(user) = master.username() {
            sentinel_builder = sentinel_builder.set_client_to_redis_username(user);
        }
        if let Some(password) = master.password() {
            sentinel_builder = sentinel_builder.set_client_to_redis_password(password);
        }
        if is_tls(self.master.addr()) {
            sentinel_builder = sentinel_builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            if let Some(pem) = certificates() {
                sentinel_builder = sentinel_builder.set_client_to_redis_certificates(pem);
            }
        }
        Ok(sentinel_builder.set_client_to_redis_db(master.db()))
    }
}

pub(super) fn is_tls(address: &ConnectionAddr) -> bool {
    matches!(address, ConnectionAddr::TcpTls { .. })
}
