//! The settings of a store in Redis.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::address::Address;
use super::changes::Changes;
use super::connection::Connection;
use super::redis_store::{Inner, RedisStore};
use super::scripts::channel;
use super::target::Timeouts;
use crate::error::ConfigError;
use crate::store::seal::Sealer;
use crate::store::store_key::StoreKey;
use crate::store::warnings::Warnings;

/// Builder of a [`RedisStore`], returned by [`RedisStore::builder`],
/// [`RedisStore::sentinel`] and [`RedisStore::cluster`].
///
/// ```
/// use tower_bearer::store::{RedisStore, StoreKey};
///
/// # let (new_key, old_key) = (StoreKey::from_bytes([2; 32]), StoreKey::from_bytes([1; 32]));
/// let store = RedisStore::builder("rediss://app:password@redis.example.com/0")
///     .key(new_key) // seals
///     .key(old_key) // opens what it sealed before
///     .build()?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    address: Address,
    prefix: String,
    keys: Vec<StoreKey>,
    root_certificates: Option<Vec<u8>>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl RedisStore {
    /// Returns a builder for a store in one Redis server at a URL:
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS. The
    /// password may be part of the URL; it is absent from errors and from `Debug`.
    ///
    /// A [`key`](RedisStoreBuilder::key) is required.
    ///
    /// ```
    /// use tower_bearer::store::{RedisStore, StoreKey};
    ///
    /// # let key = StoreKey::from_bytes([1; 32]);
    /// let store = RedisStore::builder("rediss://app:password@redis.example.com")
    ///     .key(key)
    ///     .build()?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Address::Server(url.into()))
    }

    /// Returns a builder for a store in the master that these sentinels know. They
    /// are asked in this order each time the store connects, so it follows a
    /// failover.
    ///
    /// The sentinels are `redis://[user:password@]host[:port]` or `rediss://`, all
    /// with the same user and password; the port is 26379 by default. The master is
    /// a URL with its name as the host: `redis://[user:password@]name[/database]`,
    /// or `rediss://`.
    ///
    /// A [`key`](RedisStoreBuilder::key) is required.
    ///
    /// ```
    /// use tower_bearer::store::{RedisStore, StoreKey};
    ///
    /// # let key = StoreKey::from_bytes([1; 32]);
    /// let sentinels = ["redis://s1.example.com", "redis://s2.example.com"];
    /// let store = RedisStore::sentinel(sentinels, "redis://app:password@mymaster")
    ///     .key(key)
    ///     .build()?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn sentinel(
        sentinels: impl IntoIterator<Item = impl Into<String>>,
        master: impl Into<String>,
    ) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Address::Sentinels {
            sentinels: sentinels.into_iter().map(Into::into).collect(),
            master: master.into(),
        })
    }

    /// Returns a builder for a store in a Redis Cluster, reached through these seed
    /// nodes: `redis://[user:password@]host[:port]`, or `rediss://`, all with the
    /// user and password of the whole cluster. Each time the store connects, one
    /// seed node that answers is enough to find the others.
    ///
    /// A [`key`](RedisStoreBuilder::key) is required.
    ///
    /// ```
    /// use tower_bearer::store::{RedisStore, StoreKey};
    ///
    /// # let key = StoreKey::from_bytes([1; 32]);
    /// let store = RedisStore::cluster(["redis://n1.example.com", "redis://n2.example.com"])
    ///     .key(key)
    ///     .build()?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn cluster(nodes: impl IntoIterator<Item = impl Into<String>>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Address::Cluster(
            nodes.into_iter().map(Into::into).collect(),
        ))
    }
}

impl RedisStoreBuilder {
    fn new(address: Address) -> Self {
        Self {
            address,
            prefix: "tower-bearer".to_owned(),
            keys: Vec::new(),
            root_certificates: None,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_millis(500),
        }
    }

    /// Adds a key. The first one encrypts, all of them decrypt. To change keys, add
    /// the new key as the second one everywhere, then make it the first one
    /// everywhere, then remove the old one. An entry that no key decrypts counts as
    /// absent and is deleted.
    pub fn key(mut self, key: StoreKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Sets the prefix of all keys and of the channel. Default: `tower-bearer`.
    /// Fleets with different prefixes share nothing.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the root certificates (PEM) for verifying the server's certificate,
    /// instead of those that the system trusts. For `rediss://` only.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Sets how long connecting may take. Default: 2 seconds. The caches wait less
    /// ([`store_timeout`](crate::TokenCacheBuilder::store_timeout)) and fetch
    /// without the store meanwhile.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a response may take. Default: 500 milliseconds. After that the
    /// connection counts as dead and is replaced.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// Builds the store. It connects on first use, which needs a tokio runtime;
    /// building it does not.
    ///
    /// # Errors
    ///
    /// Fails if there is no key, a timeout is zero, a URL is missing or is not a
    /// Redis URL, the URLs of sentinels or nodes differ in user, password or scheme,
    /// or the certificates cannot be read or no URL is `rediss://`.
    pub fn build(self) -> Result<RedisStore, ConfigError> {
        for (field, timeout) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
        ] {
            if timeout.is_zero() {
                return Err(ConfigError::new(field, "must be more than zero"));
            }
        }
        let Some((first, others)) = self.keys.split_first() else {
            return Err(ConfigError::new("key", "at least one key is required"));
        };
        // An empty hash tag in the prefix would replace the account's, and its keys
        // would share a slot only by chance.
        if matches!(self.address, Address::Cluster(_)) && self.prefix.contains("{}") {
            return Err(ConfigError::new(
                "prefix",
                "must not contain `{}` in a cluster: it would separate the keys of an account",
            ));
        }
        let timeouts = Timeouts {
            connect: self.connect_timeout,
            response: self.response_timeout,
        };
        let target = self.address.target(self.root_certificates, timeouts)?;
        let denied = Arc::<AtomicBool>::default();
        Ok(RedisStore::new(Inner {
            sealer: Sealer::new(first, others),
            connection: Connection::new(target.clone(), timeouts, denied.clone()),
            changes: Changes::new(
                target,
                channel(&self.prefix),
                self.connect_timeout,
                denied.clone(),
            ),
            warnings: Warnings::new(denied),
            prefix: self.prefix,
        }))
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("keys", &self.keys.len())
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder(url: &str) -> RedisStoreBuilder {
        RedisStore::builder(url).key(StoreKey::from_bytes([1; 32]))
    }

    fn sentinel(sentinels: &[&str], master: &str) -> RedisStoreBuilder {
        RedisStore::sentinel(sentinels.to_vec(), master).key(StoreKey::from_bytes([1; 32]))
    }

    fn cluster(nodes: &[&str]) -> RedisStoreBuilder {
        RedisStore::cluster(nodes.to_vec()).key(StoreKey::from_bytes([1; 32]))
    }

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn invalid_settings_are_refused_by_name_and_without_the_password() {
        let zero = Duration::ZERO;
        for (builder, field) in [
            (RedisStore::builder("redis://localhost"), "key"),
            (builder("http://me:s3cret@localhost"), "url"),
            (builder("redis://me:s3cret@localhost:port"), "url"),
            (builder("redis://me:s3cret@localhost/zero"), "url"),
            (builder("s3cret"), "url"),
            (sentinel(&[], "redis://me:s3cret@name"), "sentinels"),
            (
                sentinel(&["redis://me:s3cret@a/1"], "redis://name"),
                "sentinels",
            ),
            (sentinel(&["s3cret"], "redis://name"), "sentinels"),
            (
                sentinel(&["redis://a", "redis://me:s3cret@b"], "redis://name"),
                "sentinels",
            ),
            (
                sentinel(&["redis://a", "rediss://b"], "redis://name"),
                "sentinels",
            ),
            (sentinel(&["redis://a"], "s3cret"), "url"),
            (cluster(&[]), "url"),
            (cluster(&["redis://a"]).prefix("a{}"), "prefix"),
            (cluster(&["redis://a", "redis://me:s3cret@b"]), "url"),
            (
                cluster(&["redis://me:s3cret@a", "redis://me:0ther@b"]),
                "url",
            ),
            (cluster(&["redis://a", "rediss://b"]), "url"),
            (cluster(&["redis://a/1"]), "url"),
            (
                cluster(&["rediss://a"]).root_certificates("?"),
                "root_certificates",
            ),
            (
                cluster(&["redis://a"]).root_certificates(PEM),
                "root_certificates",
            ),
            (
                sentinel(&["redis://a"], "redis://name").root_certificates(PEM),
                "root_certificates",
            ),
            (
                builder("redis://localhost").connect_timeout(zero),
                "connect_timeout",
            ),
            (
                builder("redis://localhost").response_timeout(zero),
                "response_timeout",
            ),
            (
                builder("rediss://localhost").root_certificates("?"),
                "root_certificates",
            ),
            (
                builder("redis://localhost").root_certificates(""),
                "root_certificates",
            ),
        ] {
            let error = builder.clone().build().expect_err(field);
            assert_eq!(error.field(), field, "{error}");
            assert!(!format!("{error} {error:?} {builder:?}").contains("s3cret"));
        }
    }

    #[test]
    fn sentinels_and_clusters_need_no_server_to_be_set_up() {
        let sentinels = ["redis://a", "redis://b:1"];
        let master = "redis://me:s3cret@my-master_1/2";
        for builder in [
            sentinel(&sentinels, master),
            sentinel(&["rediss://s:s3cret@a"], "rediss://:s3cret@name"),
            sentinel(&["redis://a"], "rediss://name"),
            cluster(&["redis://me:s3cret@a:1", "redis://me:s3cret@b"]),
            cluster(&["rediss://a"]),
        ] {
            let store = builder.build().expect("a store");
            assert!(!format!("{store:?}").contains("s3cret"));
        }
    }

    #[test]
    fn building_needs_no_runtime_and_shows_no_secret() {
        let store = builder("redis://me:s3cret@localhost:1/2")
            .build()
            .expect("a store");
        assert_eq!(
            format!("{store:?}"),
            r#"RedisStore { prefix: "tower-bearer", .. }"#
        );
    }
}
