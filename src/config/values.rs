//! Values in a file or in the environment. No error quotes a value.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::grant;

/// A secret string.
pub(super) struct Secret(pub(super) grant::Secret);

/// A string.
pub(super) struct Text(pub(super) String);

/// A boolean, or a string that holds one.
#[cfg_attr(
    not(feature = "reqwest"),
    allow(dead_code, reason = "only the default transport has flags")
)]
pub(super) struct Flag(pub(super) bool);

/// A duration: a number of seconds, or a string with units.
pub(super) struct DurationValue(pub(super) Duration);

/// A number, or a string that holds one.
pub(super) struct Number<T>(pub(super) T);

/// A string whose words are separated by spaces, or a list of strings.
pub(super) struct StringList(pub(super) Vec<String>);

/// Names of token types: a list of strings, or a string, which may be one type of
/// several words or several types.
pub(super) struct TokenTypes(pub(super) Vec<String>);

/// A table.
pub(super) struct Table<T>(pub(super) BTreeMap<String, T>);

/// Replaces serde's own message, which quotes the value.
const WRONG_TYPE: &str = "this value is of the wrong type";
const NOT_A_TABLE: &str = "this must be a table";

/// Any value that one of these can be parsed from.
enum Value {
    Text(String),
    Whole(u64),
    Negative,
    Fraction(f64),
    Flag(bool),
    List(Vec<String>),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

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
                Ok(u64::try_from(number).map_or(Value::Negative, Value::Whole))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Fraction(number))
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
                Ok(Value::Flag(flag))
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

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Table<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table<T>, A::Error> {
                let mut table = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    table.insert(name, value);
                }
                Ok(Table(table))
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Table<T>, E> {
                Err(E::custom(NOT_A_TABLE))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Table<T>, E> {
                Err(E::custom(NOT_A_TABLE))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Table<T>, E> {
                Err(E::custom(NOT_A_TABLE))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Table<T>, E> {
                Err(E::custom(NOT_A_TABLE))
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
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
        let what = "a duration is a number of seconds, or a string like `500ms`, `1.5s`, `90s`, \
                    `1m30s`, `2h`, `7d`";
        read(deserializer, what, |value| match value {
            Value::Whole(seconds) => Some(Duration::from_secs(seconds)),
            Value::Fraction(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Value::Text(text) => duration(&text),
            Value::Negative | Value::Flag(_) | Value::List(_) => None,
        })
        .map(Self)
    }
}

/// The units of a duration in milliseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads numbers with units, each unit shorter than the one before, or a single
/// number of seconds.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum, mut shortest) = (text.trim(), Duration::ZERO, u64::MAX);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let millis = match unit {
            "" if number.len() == text.trim().len() => 1000,
            _ => UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        if millis >= shortest {
            return None;
        }
        (shortest, rest) = (millis, after.trim_start());
        sum = sum.checked_add(times(number, millis)?)?;
    }
    Some(sum)
}

/// Returns a decimal number of units of this many milliseconds.
fn times(number: &str, millis: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // More than nine decimals, below a nanosecond, would overflow for nothing.
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos = u128::from(millis) * 1_000_000;
    let whole = u128::from(whole.parse::<u64>().ok()?).checked_mul(nanos)?;
    let parts = u128::from(fraction.parse::<u64>().ok()?) * nanos;
    let nanos = whole.checked_add(parts / 10_u128.pow(u32::try_from(fraction.len()).ok()?))?;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = "this must be `true` or `false`";
        read(deserializer, what, |value| match value {
            Value::Flag(flag) => Some(flag),
            Value::Text(text) => text.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        })
        .map(Self)
    }
}

impl<'de> Deserialize<'de> for Number<f64> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "this must be a number", |value| match value {
            Value::Fraction(number) => Some(number),
            Value::Whole(number) => u32::try_from(number).ok().map(f64::from),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Negative | Value::Flag(_) | Value::List(_) => None,
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
            Value::Negative | Value::Fraction(_) | Value::Flag(_) | Value::List(_) => None,
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
            Value::Whole(_) | Value::Negative | Value::Fraction(_) | Value::Flag(_) => None,
        })
        .map(Self)
    }
}

impl<'de> Deserialize<'de> for TokenTypes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = "this must be a string or a list of strings";
        read(deserializer, what, |value| match value {
            Value::Text(text) => {
                let words = text.split_whitespace().map(str::to_owned);
                let whole = text.trim().to_owned();
                Some(words.chain([whole]).collect())
            }
            Value::List(types) => Some(types),
            Value::Whole(_) | Value::Negative | Value::Fraction(_) | Value::Flag(_) => None,
        })
        .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units_from_long_to_short() {
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
            ("90s", Some(90_000)),
            ("1m30s", Some(90_000)),
            ("1m 30s", Some(90_000)),
            ("1min30s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1500)),
            ("0.25s", Some(250)),
            ("1.5", Some(1500)),
            ("2d", Some(172_800_000)),
            ("1d12h", Some(129_600_000)),
            ("1s500ms", Some(1500)),
            ("0", Some(0)),
            ("1m30", None),
            ("30s1m", None),
            ("1s1s", None),
            ("1m1min", None),
            ("1.s", None),
            (".5s", None),
            ("1.2.3s", None),
            ("1.0000000000s", None),
            ("1e3s", None),
            ("+1s", None),
            ("1 0s", None),
            ("1w", None),
            ("1S", None),
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
