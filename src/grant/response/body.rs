//! The JSON of a response: the members that matter, with the types they have.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Number, Value};
use zeroize::Zeroizing;

/// A JSON value. It has no `Debug`, because it may be secret.
pub(in crate::grant) enum JsonValue {
    Text(Zeroizing<String>),
    Number(Number),
    /// Any other value, in words.
    Other(&'static str),
}

/// The members that matter. One that is missing or `null` is `None`.
#[derive(Default)]
pub(in crate::grant) struct TokenResponseBody {
    pub(in crate::grant) access_token: Option<JsonValue>,
    pub(in crate::grant) token_type: Option<JsonValue>,
    pub(in crate::grant) expires_in: Option<JsonValue>,
    pub(in crate::grant) refresh_token: Option<JsonValue>,
    pub(in crate::grant) refresh_expires_in: Option<JsonValue>,
    pub(in crate::grant) issued_token_type: Option<JsonValue>,
    pub(in crate::grant) error: Option<JsonValue>,
}

impl TokenResponseBody {
    /// Returns the `error` member (RFC 6749, section 5.2) if it is a string.
    pub(in crate::grant) fn code(&self) -> Option<&str> {
        match &self.error {
            Some(JsonValue::Text(code)) => Some(code),
            _ => None,
        }
    }

    /// Reads a body. Skips a byte order mark, as RFC 8259, section 8.1, permits,
    /// and members that do not matter.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the body, in words that quote nothing of it. A
    /// member that matters must not come twice, because parsers differ in which
    /// one they take.
    pub(in crate::grant) fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        if body.trim_ascii().is_empty() {
            return Err("is empty");
        }
        let mut unescaped = Zeroizing::new(body.to_vec());
        let length = unescape(&mut unescaped);
        let mut twice = false;
        let mut reader = serde_json::Deserializer::from_slice(&unescaped[..length]);
        let members = reader
            .deserialize_map(Reader { twice: &mut twice })
            .and_then(|members| reader.end().map(|()| members));
        match members {
            Ok(members) => Ok(members),
            Err(_) if twice => Err("has a member twice"),
            Err(e) if e.is_data() => Err("is JSON, but not an object"),
            Err(_) => Err("is not JSON"),
        }
    }
}

impl From<Value> for JsonValue {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(Zeroizing::new(text)),
            Value::Number(number) => Self::Number(number),
            Value::Array(_) => Self::Other("an array"),
            Value::Object(_) => Self::Other("an object"),
            Value::Bool(_) => Self::Other("a boolean"),
            Value::Null => Self::Other("null"),
        }
    }
}

impl JsonValue {
    /// Returns what the value is, in words.
    pub(in crate::grant) fn what(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Other(what) => what,
        }
    }
}

struct Reader<'a> {
    twice: &'a mut bool,
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = TokenResponseBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenResponseBody, A::Error> {
        let mut members = TokenResponseBody::default();
        let mut seen = 0_u8;
        while let Some(name) = map.next_key::<String>()? {
            let (bit, slot) = match name.as_str() {
                "access_token" => (1, &mut members.access_token),
                "token_type" => (2, &mut members.token_type),
                "expires_in" => (4, &mut members.expires_in),
                "refresh_token" => (8, &mut members.refresh_token),
                "refresh_expires_in" => (16, &mut members.refresh_expires_in),
                "error" => (32, &mut members.error),
                "issued_token_type" => (64, &mut members.issued_token_type),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if seen & bit != 0 {
                *self.twice = true;
                return Err(A::Error::custom("twice"));
            }
            seen |= bit;
            *slot = map.next_value::<Option<Value>>()?.map(JsonValue::from);
        }
        Ok(members)
    }
}

/// Replaces `\/` and `\u00XX` of printable ASCII by the character itself, in
/// place, and returns the new length. Everything else stays as it is.
///
/// A JSON parser unescapes into a buffer of its own, which is not wiped. Some
/// servers escape the `/` or the `+` of a token; without escapes the parser
/// copies nothing.
fn unescape(json: &mut [u8]) -> usize {
    let (mut from, mut to, mut quoted) = (0, 0, false);
    while from < json.len() {
        let (byte, length) = match json[from] {
            b'\\' if quoted => match plain(&json[from..]) {
                Some(plain) => plain,
                None => {
                    // Kept, with what it escapes: a quote, for example.
                    json[to] = b'\\';
                    (from, to) = (from + 1, to + 1);
                    let Some(escaped) = json.get(from) else { break };
                    (*escaped, 1)
                }
            },
            byte => {
                quoted ^= byte == b'"';
                (byte, 1)
            }
        };
        json[to] = byte;
        (from, to) = (from + length, to + 1);
    }
    to
}

/// Returns the character that an escape stands for and the escape's length, if
/// that character needs no escape.
fn plain(escape: &[u8]) -> Option<(u8, usize)> {
    match escape {
        [b'\\', b'/', ..] => Some((b'/', 2)),
        [b'\\', b'u', b'0', b'0', high, low, ..] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
            let plain = (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte);
            plain.then_some((byte, 6))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_escapes_that_stand_for_a_plain_character_in_a_text_go() {
        for (json, unescaped) in [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#"{"a\/b":"c\/\/d"}"#, r#"{"a/b":"c//d"}"#),
            (r#""a\u002Bb\u002fc""#, r#""a+b/c""#),
            (
                r#""\u0022\u005c\u000a\u007f\u00e9\u2603""#,
                r#""\u0022\u005c\u000a\u007f\u00e9\u2603""#,
            ),
            (r#""\\/\\u0041\"\/""#, r#""\\/\\u0041\"/""#),
            (r#""a\"b" \/ "\/" \u0031"#, r#""a\"b" \/ "/" \u0031"#),
            (r#""\u00"#, r#""\u00"#),
            (r#""\u00g1\u+041""#, r#""\u00g1\u+041""#),
            (r#""a\"#, r#""a\"#),
            ("", ""),
        ] {
            let mut bytes = json.as_bytes().to_vec();
            let length = unescape(&mut bytes);
            assert_eq!(
                String::from_utf8_lossy(&bytes[..length]),
                unescaped,
                "{json}"
            );
        }
    }
}
