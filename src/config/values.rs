//! Values as a file or the environment has them. No error quotes a value.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::grant;

/// A string that is kept secret.
pub(super) struct Secret(pub(super) grant::Secret);

/// A string.
pub(super) struct Text(pub(super) String);

/// A duration: a number of seconds, or a string with a unit.
pub(super) struct DurationValue(pub(super) Duration);

/// A number, or a string that holds one.
pub(super) struct Number<T>(pub(super) T);

/// A string whose words are separated by spaces, or a list of strings.
pub(super) struct StringList(pub(super) Vec<String>);

/// Any value that one of these can be read from.
enum Value {
    Text(String),
    Whole(u64),
    Fraction(f64),
    List(Vec<String>),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        /// In place of serde's own message, which quotes the value.
        const WRONG_TYPE: &str = "this value is of the wrong type";

        impl<'de> Visitor<'de> for Reader {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number or a list of strings")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
                Ok(Value::Text(text))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
                Ok(Value::Whole(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
                let number = u64::try_from(number);
                number.map(Value::Whole).map_err(|_| E::custom(WRONG_TYPE))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Fraction(number))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
                Err(E::custom(WRONG_TYPE))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element::<Value>()? {
                    match word {
                        Value::Text(word) => words.push(word),
                        _ => return Err(A::Error::custom(WRONG_TYPE)),
                    }
                }
                Ok(Value::List(words))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// Reads a [`Value`] and converts it; `what` is the error if that fails.
fn read<'de, D, T>(
    deserializer: D,
    what: &str,
    read: impl FnOnce(Value) -> Option<T>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    read(Value::deserialize(deserializer)?).ok_or_else(|| D::Error::custom(what))
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = "this must be a string that is not empty";
        read(deserializer, what, |value| match value {
            Value::Text(text) if !text.is_empty() => Some(Self(text.into())),
            _ => None,
        })
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "this must be a string", |value| match value {
            Value::Text(text) => Some(Self(text)),
            _ => None,
        })
    }
}

impl<'de> Deserialize<'de> for DurationValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = "a duration is a number of seconds, or a string like `500ms`, `10s`, `5m`, `1h`";
        read(deserializer, what, |value| match value {
            Value::Whole(seconds) => Some(Duration::from_secs(seconds)),
            Value::Fraction(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Value::Text(text) => duration(&text),
            Value::List(_) => None,
        })
        .map(Self)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    let seconds = match unit.trim_start() {
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

impl<'de> Deserialize<'de> for Number<f64> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "this must be a number", |value| match value {
            Value::Fraction(number) => Some(number),
            Value::Whole(number) => u32::try_from(number).ok().map(f64::from),
            Value::Text(text) => text.trim().parse().ok(),
            Value::List(_) => None,
        })
        .map(Self)
    }
}

impl<'de> Deserialize<'de> for Number<usize> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = "this must be a whole number";
        read(deserializer, what, |value| match value {
            Value::Whole(number) => usize::try_from(number).ok(),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Fraction(_) | Value::List(_) => None,
        })
        .map(Self)
    }
}

impl<'de> Deserialize<'de> for StringList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = "this must be a string or a list of strings";
        read(deserializer, what, |value| match value {
            Value::Text(text) => Some(text.split_whitespace().map(str::to_owned).collect()),
            Value::List(words) => Some(words),
            Value::Whole(_) | Value::Fraction(_) => None,
        })
        .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_one_unit_at_most() {
        for (text, millis) in [
            ("10", Some(10_000)),
            ("500ms", Some(500)),
            (" 10s ", Some(10_000)),
            ("10 s", Some(10_000)),
            ("5m", Some(300_000)),
            ("5min", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1h30m", None),
            ("1.5s", None),
            ("99999999999999999999", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(
                duration(text),
                millis.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }
}
