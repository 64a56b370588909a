//! The cache of a configured source.

use super::source_config::SourceConfig;
use crate::cache::{TokenCache, TokenCacheBuilder};
use crate::error::ConfigError;
use crate::source::TokenSource;

impl SourceConfig {
    /// Builds a cache of the source, with the settings under `cache` and the
    /// default transport. Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// Fails as [`source`](Self::source) does, and if a setting of the cache is
    /// invalid, or only one key of a pair is set.
    #[cfg(feature = "reqwest")]
    pub fn token_cache(&self) -> Result<TokenCache, ConfigError> {
        self.token_cache_builder()?.build()
    }

    /// Returns a builder of that cache, for what a file cannot set: a
    /// [store](TokenCacheBuilder::store). Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// Fails as [`source`](Self::source) does, and if only one key of a pair of
    /// settings is set. Invalid settings are refused by
    /// [`TokenCacheBuilder::build`].
    #[cfg(feature = "reqwest")]
    pub fn token_cache_builder(&self) -> Result<TokenCacheBuilder, ConfigError> {
        self.token_cache_builder_for(self.source()?)
    }

    /// Returns a builder of a cache of any source, such as one with another
    /// transport, with the settings under `cache`.
    ///
    /// ```
    /// # fn tokens() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::config::SourceConfig;
    /// # let transport = tower::service_fn(
    /// #     |_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
    /// #         Ok::<_, std::io::Error>(http::Response::new(String::new()))
    /// #     });
    ///
    /// # let variables = [("AUTH_PRESET", "voipex"), ("AUTH_USERNAME", "me"), ("AUTH_PASSWORD", "p")];
    /// let config = SourceConfig::from_vars("AUTH_", variables)?;
    /// let source = config.source_through(transport)?;
    /// let tokens = config.token_cache_builder_for(source)?.build()?;
    /// # let _ = tokens; Ok(()) }
    /// # tokens().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if only one key of a pair of settings is set. Invalid settings are
    /// refused by [`TokenCacheBuilder::build`].
    pub fn token_cache_builder_for(
        &self,
        source: impl TokenSource,
    ) -> Result<TokenCacheBuilder, ConfigError> {
        let builder = TokenCache::builder(source);
        match &self.cache {
            Some(config) => config.apply(builder),
            None => Ok(builder),
        }
    }
}
