//! Setting up a store in Redis.

use std::fmt;
use std::time::Duration;

use redis::{Client, IntoConnectionInfo, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::changes::Changes;
use super::keys::channel;
use super::link::Link;
use super::redis_store::{Inner, RedisStore};
use super::seal::Sealer;
use super::store_key::StoreKey;
use crate::error::ConfigError;

/// Sets up a [`RedisStore`]; from [`RedisStore::builder`].
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
    url: String,
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
        RedisStoreBuilder {
            url: url.into(),
            prefix: "tower-bearer".to_owned(),
            keys: Vec::new(),
            root_certificates: None,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(500),
        }
    }
}

impl RedisStoreBuilder {
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
    /// If the URL is none of a Redis server, if there is no key, if a timeout is
    /// zero, or if the certificates are none or the URL is not for TLS.
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
        let client = self.client()?;
        Ok(RedisStore::new(Inner {
            sealer: Sealer::new(first, others),
            link: Link::new(client.clone(), self.connect_timeout, self.response_timeout),
            changes: Changes::new(client, channel(&self.prefix), self.connect_timeout),
            prefix: self.prefix,
        }))
    }

    // The reasons of the parser could quote the URL, which holds a password.
    fn client(&self) -> Result<Client, ConfigError> {
        let url = self.url.as_str().into_connection_info();
        let url = url.map_err(|_| {
            let form = "not redis[s]://[user:password@]host[:port][/database]";
            ConfigError::new("url", form)
        })?;
        let Some(pem) = &self.root_certificates else {
            return Client::open(url).map_err(|_| ConfigError::new("url", "not to be used"));
        };
        // None at all would be trusted to be none, and fail when it connects.
        let none = CertificateDer::pem_slice_iter(pem).next().is_none();
        let reason = "no certificates in PEM, or the URL is not rediss://";
        let refused = ConfigError::new("root_certificates", reason);
        if none {
            return Err(refused);
        }
        let tls = TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.clone()),
        };
        Client::build_with_tls(url, tls).map_err(|_| refused)
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

    #[test]
    fn nonsense_is_refused_by_name_and_without_the_password() {
        let zero = Duration::ZERO;
        for (builder, field) in [
            (RedisStore::builder("redis://localhost"), "key"),
            (builder("http://me:s3cret@localhost"), "url"),
            (builder("redis://me:s3cret@localhost:port"), "url"),
            (builder("redis://me:s3cret@localhost/zero"), "url"),
            (builder("s3cret"), "url"),
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
