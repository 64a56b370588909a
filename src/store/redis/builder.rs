//! Setting up a store in Redis.

use std::fmt;
use std::time::Duration;

use super::address::Place;
use super::changes::Changes;
use super::connection::Link;
use super::keys::channel;
use super::redis_store::{Inner, RedisStore};
use super::target::Limits;
use crate::error::ConfigError;
use crate::store::seal::Sealer;
use crate::store::store_key::StoreKey;

/// Sets up a [`RedisStore`]; from [`RedisStore::builder`],
/// [`RedisStore::sentinel`] or [`RedisStore::cluster`].
///
/// ```
/// use tower_bearer::store::{RedisStore, StoreKey};
///
/// # let (new_key, old_key) = (StoreKey::from_bytes([2; 32]), StoreKey::from_bytes([1; 32]));
/// let store = RedisStore::builder("rediss://app:password@redis.example.com/0")
///     .key(new_key) // seals
///     .key(old_key) // still opens
///     .build()?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    place: Place,
    prefix: String,
    keys: Vec<StoreKey>,
    root_certificates: Option<Vec<u8>>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl RedisStore {
    /// A store in the Redis at a URL:
    /// `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS.
    /// The password may be part of it; it is in no error and no `Debug`.
    ///
    /// Needs a [`key`](RedisStoreBuilder::key).
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::at(Place::Server(url.into()))
    }

    /// A store in the master that sentinels know, one after the other. The store
    /// asks them each time that it connects, and so follows when they put another
    /// one in its place.
    ///
    /// The sentinels are `redis://[user:password@]host[:port]`, with the port 26379
    /// where there is none, or `rediss://`; all with the same user and password.
    /// The master is a URL with its name for the host:
    /// `redis://[user:password@]name[/database]`, or `rediss://`.
    ///
    /// Needs a [`key`](RedisStoreBuilder::key).
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
        RedisStoreBuilder::at(Place::Sentinels {
            sentinels: sentinels.into_iter().map(Into::into).collect(),
            master: master.into(),
        })
    }

    /// A store in a Redis Cluster, of which these nodes are a part:
    /// `redis://[user:password@]host[:port]`, or `rediss://`; all with the same
    /// user and password, which are those of the others too. One that answers is
    /// enough to find the others, whenever the store connects.
    ///
    /// Needs a [`key`](RedisStoreBuilder::key).
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
        RedisStoreBuilder::at(Place::Cluster(nodes.into_iter().map(Into::into).collect()))
    }
}

impl RedisStoreBuilder {
    fn at(place: Place) -> Self {
        Self {
            place,
            prefix: "tower-bearer".to_owned(),
            keys: Vec::new(),
            root_certificates: None,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(500),
        }
    }

    /// A key that seals what is kept, and opens it. To change keys, add the new
    /// one as the second everywhere, then make it the first everywhere, then
    /// leave out the old one. What was sealed with a key that is not here counts
    /// as absent, and is deleted.
    pub fn key(mut self, key: StoreKey) -> Self {
        self.keys.push(key);
        self
    }

    /// What the names of all keys and of the channel begin with; `tower-bearer`
    /// by default. Fleets with other prefixes have nothing in common.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The certificates (PEM) of which one must have signed the server's, in
    /// place of those that the system trusts. For `rediss://` only.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// How long it may take to connect; 1 s by default. The caches wait for less
    /// and do without the store meanwhile.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an answer may take; 500 ms by default. After that the connection
    /// counts as dead and a new one is made.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// The store. Nothing connects before its first use, and no runtime is
    /// needed here; the first use and all others need one of tokio.
    ///
    /// # Errors
    ///
    /// If a URL is none of a Redis server, if there is none or they have not the
    /// same user, password and scheme where they must, if there is no key, if a timeout is
    /// zero, or if the certificates are none or no URL is for TLS.
    pub fn build(self) -> Result<RedisStore, ConfigError> {
        for (field, timeout) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
        ] {
            if timeout.is_zero() {
                return Err(ConfigError::new(field, "zero leaves no time for anything"));
            }
        }
        let Some((first, others)) = self.keys.split_first() else {
            return Err(ConfigError::new("key", "there is none to seal with"));
        };
        // Keys without a hash tag are in one slot by chance only.
        if matches!(self.place, Place::Cluster(_)) && self.prefix.contains("{}") {
            return Err(ConfigError::new(
                "prefix",
                "{} ends what keeps keys together",
            ));
        }
        let limits = Limits {
            connect: self.connect_timeout,
            response: self.response_timeout,
        };
        let target = self.place.target(self.root_certificates, limits)?;
        Ok(RedisStore::new(Inner {
            sealer: Sealer::new(first, others),
            link: Link::new(target.clone(), limits),
            changes: Changes::new(target, channel(&self.prefix), self.connect_timeout),
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
    fn nonsense_is_refused_by_name_and_without_the_password() {
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
