//! The cache of a configured source, and its settings.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::source_config::SourceConfig;
use super::values::{DurationValue, Number, Text};
use crate::cache::{TokenCache, TokenCacheBuilder};
use crate::error::ConfigError;
use crate::source::TokenSource;

impl SourceConfig {
    /// Builds a cache of the source, with the settings under `cache` and the
    /// default transport. Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// Fails as [`source`](Self::source) does; also if a setting of the cache is
    /// refused, or only one key of a pair is set.
    #[cfg(feature = "reqwest")]
    pub fn token_cache(&self) -> Result<TokenCache, ConfigError> {
        self.token_cache_builder()?.build()
    }

    /// Returns a builder of that cache, for the settings that a file cannot
    /// have: a [store](TokenCacheBuilder::store). Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// Fails as [`source`](Self::source) does; also if only one key of a pair of
    /// settings is set. Settings that make no sense are refused by
    /// [`TokenCacheBuilder::build`].
    #[cfg(feature = "reqwest")]
    pub fn token_cache_builder(&self) -> Result<TokenCacheBuilder, ConfigError> {
        self.token_cache_builder_for(self.source()?)
    }

    /// Returns a builder of a cache of any source, with the settings under
    /// `cache`: of a source with another transport, say.
    ///
    /// ```
    /// # fn tokens() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::config::SourceConfig;
    /// # let transport = tower::service_fn(
    /// #     |_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
    /// #         Ok::<_, std::io::Error>(http::Response::new(String::new()))
    /// #     });
    ///
    /// # let variables = [("AUTH_GRANT", "voipex"), ("AUTH_USERNAME", "me"), ("AUTH_PASSWORD", "p")];
    /// let config = SourceConfig::from_vars("AUTH_", variables)?;
    /// let source = config.source_through(transport)?;
    /// let tokens = config.token_cache_builder_for(source)?.build()?;
    /// # let _ = tokens; Ok(()) }
    /// # tokens().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if only one key of a pair of settings is set. Settings that make no
    /// sense are refused by [`TokenCacheBuilder::build`].
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

/// Every setting: its key, or its two keys, and its setter.
const SETTINGS: [Setting; 14] = [
    Setting::Duration("wait_timeout", TokenCacheBuilder::wait_timeout),
    Setting::Duration("source_timeout", TokenCacheBuilder::source_timeout),
    Setting::Duration("revoke_timeout", TokenCacheBuilder::revoke_timeout),
    Setting::Duration("store_timeout", TokenCacheBuilder::store_timeout),
    Setting::Duration("lease_duration", TokenCacheBuilder::lease_duration),
    Setting::Window(
        ["renew_before_fraction", "renew_before_max"],
        TokenCacheBuilder::renew_before,
    ),
    Setting::Fraction("renew_jitter", TokenCacheBuilder::renew_jitter),
    Setting::Duration(
        "renew_unknown_lifetime_after",
        TokenCacheBuilder::renew_unknown_lifetime_after,
    ),
    Setting::Window(
        ["expiry_margin_fraction", "expiry_margin_max"],
        TokenCacheBuilder::expiry_margin,
    ),
    Setting::Duration("max_retry_after", TokenCacheBuilder::max_retry_after),
    Setting::Backoff(["backoff_first", "backoff_max"], TokenCacheBuilder::backoff),
    Setting::Backoff(
        ["refusal_backoff_first", "refusal_backoff_max"],
        TokenCacheBuilder::refusal_backoff,
    ),
    Setting::Backoff(
        ["rejection_backoff_first", "rejection_backoff_max"],
        TokenCacheBuilder::rejection_backoff,
    ),
    Setting::Text("label", |builder, label| builder.label(label)),
];

#[derive(Clone, Copy)]
enum Setting {
    Duration(
        &'static str,
        fn(TokenCacheBuilder, Duration) -> TokenCacheBuilder,
    ),
    Fraction(
        &'static str,
        fn(TokenCacheBuilder, f64) -> TokenCacheBuilder,
    ),
    Text(
        &'static str,
        fn(TokenCacheBuilder, &str) -> TokenCacheBuilder,
    ),
    /// A fraction of a token's lifetime, and the most that it may be.
    Window(
        [&'static str; 2],
        fn(TokenCacheBuilder, f64, Duration) -> TokenCacheBuilder,
    ),
    /// The first pause, and the longest.
    Backoff(
        [&'static str; 2],
        fn(TokenCacheBuilder, Duration, Duration) -> TokenCacheBuilder,
    ),
}

enum Value {
    Duration(Duration),
    Fraction(f64),
    Text(String),
}

/// What a key's value has to be.
#[derive(Clone, Copy)]
enum Kind {
    Duration,
    Fraction,
    Text,
}

impl Setting {
    fn keys(self) -> impl Iterator<Item = (&'static str, Kind)> {
        let (first, second) = match self {
            Self::Duration(key, _) => ((key, Kind::Duration), None),
            Self::Fraction(key, _) => ((key, Kind::Fraction), None),
            Self::Text(key, _) => ((key, Kind::Text), None),
            Self::Window([fraction, max], _) => {
                ((fraction, Kind::Fraction), Some((max, Kind::Duration)))
            }
            Self::Backoff([first, max], _) => {
                ((first, Kind::Duration), Some((max, Kind::Duration)))
            }
        };
        std::iter::once(first).chain(second)
    }
}

/// The settings that are given, by their keys.
pub(super) struct CacheConfig(BTreeMap<&'static str, Value>);

impl CacheConfig {
    /// Applies the settings to a builder.
    pub(super) fn apply(
        &self,
        mut builder: TokenCacheBuilder,
    ) -> Result<TokenCacheBuilder, ConfigError> {
        for setting in SETTINGS {
            let mut values = setting.keys().map(|(key, _)| self.0.get(key));
            let (first, second) = (values.next().flatten(), values.next().flatten());
            builder = match (setting, first, second) {
                (_, None, None) => builder,
                (Setting::Duration(_, set), Some(Value::Duration(value)), _) => {
                    set(builder, *value)
                }
                (Setting::Fraction(_, set), Some(Value::Fraction(value)), _) => {
                    set(builder, *value)
                }
                (Setting::Text(_, set), Some(Value::Text(value)), _) => set(builder, value),
                (
                    Setting::Window(_, set),
                    Some(Value::Fraction(fraction)),
                    Some(Value::Duration(max)),
                ) => set(builder, *fraction, *max),
                (
                    Setting::Backoff(_, set),
                    Some(Value::Duration(first)),
                    Some(Value::Duration(max)),
                ) => set(builder, *first, *max),
                _ => return Err(lone(setting, first.is_some())),
            };
        }
        Ok(builder)
    }
}

/// The error of a pair of which only one is there.
fn lone(setting: Setting, has_first: bool) -> ConfigError {
    let mut keys: Vec<_> = setting.keys().map(|(key, _)| key).collect();
    if !has_first {
        keys.reverse();
    }
    let (given, missing) = (keys[0], keys[keys.len() - 1]);
    ConfigError::new(missing, format!("is missing beside `{given}`"))
}

impl<'de> Deserialize<'de> for CacheConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = CacheConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of cache settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CacheConfig, A::Error> {
                let mut values = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let mut keys = SETTINGS.into_iter().flat_map(Setting::keys);
                    let Some((key, kind)) = keys.find(|(key, _)| *key == name) else {
                        return Err(unknown(&name));
                    };
                    let value = match kind {
                        Kind::Duration => Value::Duration(map.next_value::<DurationValue>()?.0),
                        Kind::Fraction => Value::Fraction(map.next_value::<Number<f64>>()?.0),
                        Kind::Text => Value::Text(map.next_value::<Text>()?.0),
                    };
                    if values.insert(key, value).is_some() {
                        return Err(A::Error::duplicate_field(key));
                    }
                }
                Ok(CacheConfig(values))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

fn unknown<E: Error>(name: &str) -> E {
    let keys = SETTINGS.into_iter().flat_map(Setting::keys);
    let keys: Vec<_> = keys.map(|(key, _)| format!("`{key}`")).collect();
    let keys = keys.join(", ");
    E::custom(format!("unknown field `{name}`, expected one of {keys}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::AccessToken;

    #[test]
    fn every_setting_is_accepted() {
        let keys = SETTINGS.into_iter().flat_map(Setting::keys);
        let settings = keys.map(|(key, kind)| {
            let value = match (kind, key) {
                (Kind::Text, _) => "calls",
                (Kind::Fraction, "renew_before_fraction") => "0.5",
                (Kind::Fraction, _) => "0.05",
                (Kind::Duration, "renew_before_max") => "1h",
                (Kind::Duration, _) => "7s",
            };
            (key.to_owned(), serde_json::Value::from(value))
        });
        let settings = serde_json::Value::Object(settings.collect());
        let config = serde_json::from_value::<CacheConfig>(settings).expect("all are known");
        let token = AccessToken::new("a").expect("a token");
        let builder = config
            .apply(TokenCache::builder(token))
            .expect("whole pairs");
        builder.build().expect("settings that make sense");
    }
}
