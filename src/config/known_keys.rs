//! Reads the keys of a table, and finds the key that an unknown one was meant to be.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::cache::{Setting, Settings};

/// The key of the builder's `label`, which is not a setting.
pub(super) const LABEL: &str = "label";
/// The key of the builder's `renewal`.
pub(super) const RENEWAL: &str = "renewal";

pub(super) fn key(setting: &Setting) -> &'static str {
    match setting {
        Setting::Duration(key, _) | Setting::Fraction(key, _) => key,
    }
}

/// Returns all keys of the table `cache`.
pub(super) fn cache_keys() -> impl Iterator<Item = &'static str> + Clone {
    let settings = Settings::ALL.iter().copied().flatten().map(key);
    settings.chain([LABEL, RENEWAL])
}

/// Reads a struct. Its unknown keys are refused here, with the key that was probably
/// meant, before serde refuses them with a list of all.
pub(super) struct KnownKeys<D>(pub(super) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for KnownKeys<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0
            .deserialize_struct(name, keys, Struct { keys, visitor })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes
        byte_buf option unit unit_struct newtype_struct seq tuple tuple_struct map enum
        identifier ignored_any
    }
}

/// Visits a struct, or the table that it is read from.
struct Struct<T> {
    keys: &'static [&'static str],
    visitor: T,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Struct<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let keys = self.keys;
        self.visitor.visit_map(Struct { keys, visitor: map })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Struct<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let keys = self.keys.iter().copied();
        match self.visitor.next_key_seed(KnownKey(keys))? {
            Some(key) => seed.deserialize(StrDeserializer::new(key)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.visitor.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.visitor.size_hint()
    }
}

/// One of these keys. An unknown key is an error of the key itself, so that a parser
/// points at it.
pub(super) struct KnownKey<I>(pub(super) I);

impl<'de, I> DeserializeSeed<'de> for KnownKey<I>
where
    I: Iterator<Item = &'static str> + Clone,
{
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        let key = String::deserialize(deserializer)?;
        let mut keys = self.0.clone();
        keys.find(|known| *known == key)
            .ok_or_else(|| D::Error::custom(unknown(&key, self.0)))
    }
}

/// Returns the message for an unknown key.
fn unknown(key: &str, keys: impl Iterator<Item = &'static str> + Clone) -> String {
    let hint = if cache_keys().any(|known| known == key) {
        "it is a key of the table `cache`".to_owned()
    } else if let Some(known) = nearest(key, keys.clone()) {
        format!("did you mean `{known}`?")
    } else if let Some(known) = key
        .strip_prefix("cache_")
        .and_then(|rest| cache_keys().find(|known| *known == rest))
    {
        format!("two underscores lead into a table: `cache__{known}`")
    } else {
        let keys: Vec<_> = keys.map(|key| format!("`{key}`")).collect();
        format!("expected one of {}", keys.join(", "))
    };
    format!("unknown field `{key}`: {hint}")
}

/// Returns the key that resembles this one most, if one does.
fn nearest(key: &str, keys: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    // The limit is between `usr` for `username` and keys that only begin alike.
    let similar = keys.map(|known| (strsim::jaro_winkler(&key, known), known));
    let similar = similar.filter(|(similarity, _)| *similarity > 0.86);
    similar
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 9] = [
        "grant",
        "token_endpoint",
        "client_id",
        "client_secret",
        "client_secret_file",
        "username",
        "password",
        "timeout",
        "cache",
    ];

    #[test]
    fn the_message_names_the_key_that_was_meant() {
        for (key, hint) in [
            ("usernam", "did you mean `username`?"),
            ("user", "did you mean `username`?"),
            ("userName", "did you mean `username`?"),
            ("passwd", "did you mean `password`?"),
            ("token_endpont", "did you mean `token_endpoint`?"),
            ("client-id", "did you mean `client_id`?"),
            ("client_secrets", "did you mean `client_secret`?"),
            ("client_secret_fil", "did you mean `client_secret_file`?"),
            ("wait_timeout", "it is a key of the table `cache`"),
            (
                "cache_wait_timeout",
                "two underscores lead into a table: `cache__wait_timeout`",
            ),
            (
                "colour",
                "expected one of `grant`, `token_endpoint`, `client_id`, `client_secret`, \
                 `client_secret_file`, `username`, `password`, `timeout`, `cache`",
            ),
        ] {
            let message = unknown(key, KEYS.into_iter());
            assert_eq!(message, format!("unknown field `{key}`: {hint}"));
        }
    }
}
