//! The settings of a cache: the keys of the table `cache`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::known_keys::{KnownKey, LABEL, RENEWAL, cache_keys, key};
use super::values::{DurationValue, Number, Text};
use crate::cache::{Renewal, Setting, Settings, TokenCacheBuilder};
use crate::error::ConfigError;

/// The settings that are present, by key.
#[derive(Default)]
pub(super) struct CacheConfig {
    label: Option<String>,
    renewal: Option<Renewal>,
    settings: BTreeMap<&'static str, Value>,
}

/// A value, and where it goes.
enum Value {
    Duration(fn(&mut Settings) -> &mut Duration, Duration),
    Fraction(fn(&mut Settings) -> &mut f64, f64),
}

impl CacheConfig {
    /// Applies the settings to a builder.
    pub(super) fn apply(
        &self,
        mut builder: TokenCacheBuilder,
    ) -> Result<TokenCacheBuilder, ConfigError> {
        let is_set = |setting: &&Setting| self.settings.contains_key(key(setting));
        for keys in Settings::ALL {
            let (given, missing): (Vec<_>, Vec<_>) = keys.iter().partition(is_set);
            if let (Some(given), Some(missing)) = (given.first(), missing.first()) {
                let reason = format!("is missing beside `{}`", key(given));
                return Err(ConfigError::new(key(missing), reason));
            }
        }
        for value in self.settings.values() {
            let settings = builder.settings_mut();
            match value {
                Value::Duration(place, value) => *place(settings) = *value,
                Value::Fraction(place, value) => *place(settings) = *value,
            }
        }
        if let Some(renewal) = self.renewal {
            builder = builder.renewal(renewal);
        }
        Ok(match &self.label {
            Some(label) => builder.label(label),
            None => builder,
        })
    }
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
                let mut config = CacheConfig::default();
                while let Some(name) = map.next_key_seed(KnownKey(cache_keys()))? {
                    if name == LABEL {
                        if config.label.replace(map.next_value::<Text>()?.0).is_some() {
                            return Err(A::Error::duplicate_field(LABEL));
                        }
                        continue;
                    }
                    if name == RENEWAL {
                        let renewal = match map.next_value::<Text>()?.0.as_str() {
                            "automatic" => Renewal::Automatic,
                            "exclusive" => Renewal::Exclusive,
                            _ => {
                                let what = "`renewal` is `automatic` or `exclusive`";
                                return Err(A::Error::custom(what));
                            }
                        };
                        if config.renewal.replace(renewal).is_some() {
                            return Err(A::Error::duplicate_field(RENEWAL));
                        }
                        continue;
                    }
                    let mut settings = Settings::ALL.iter().copied().flatten();
                    let Some(setting) = settings.find(|it| key(it) == name) else {
                        continue;
                    };
                    let value = match setting {
                        Setting::Duration(_, place) => {
                            Value::Duration(*place, map.next_value::<DurationValue>()?.0)
                        }
                        Setting::Fraction(_, place) => {
                            Value::Fraction(*place, map.next_value::<Number<f64>>()?.0)
                        }
                    };
                    if config.settings.insert(key(setting), value).is_some() {
                        return Err(A::Error::duplicate_field(key(setting)));
                    }
                }
                Ok(config)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::TokenCache;
    use crate::token::AccessToken;

    #[test]
    fn every_setting_is_accepted() {
        let settings = Settings::ALL.iter().copied().flatten().map(|setting| {
            let value = match setting {
                Setting::Fraction("renew_before_fraction", _) => "0.5",
                Setting::Fraction(..) => "0.05",
                Setting::Duration("renew_before_max", _) => "1h",
                Setting::Duration(..) => "7s",
            };
            (key(setting).to_owned(), value.into())
        });
        let settings = settings.chain([
            (LABEL.to_owned(), "calls".into()),
            (RENEWAL.to_owned(), "exclusive".into()),
        ]);
        let settings = serde_json::Value::Object(settings.collect());
        let config = serde_json::from_value::<CacheConfig>(settings).expect("all are known");
        let token = AccessToken::new("a").expect("a token");
        let builder = config
            .apply(TokenCache::builder(token))
            .expect("whole pairs");
        builder.build().expect("settings that make sense");
    }
}
