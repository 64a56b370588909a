//! The members of an answer that matter, of the types they came in.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Number, Value};
use zeroize::Zeroizing;

use crate::grant::response::escapes::simplify;

/// A JSON value. No part of it is ever shown.
pub(in crate::grant) enum JsonValue {
    Text(Zeroizing<String>),
    Number(Number),
    /// What it is, in words.
    Other(&'static str),
}

/// The members that matter; one that is missing or `null` is `None`.
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
    /// The `error` member (RFC 6749, section 5.2), if it can be read.
    pub(in crate::grant) fn code(&self) -> Option<&str> {
        match &self.error {
            Some(JsonValue::Text(code)) => Some(code),
            _ => None,
        }
    }

    /// Reads a body. A byte order mark is skipped (RFC 8259, section 8.1, lets
    /// a reader do so), members that do not matter too.
    ///
    /// # Errors
    ///
    /// What is wrong with the body, in words that quote nothing of it. A
    /// member that matters and comes twice is refused: parsers differ in which
    /// one they take.
    pub(in crate::grant) fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        if body.trim_ascii().is_empty() {
            return Err("is empty");
        }
        let mut simple = Zeroizing::new(body.to_vec());
        let length = simplify(&mut simple);
        let mut twice = false;
        let mut reader = serde_json::Deserializer::from_slice(&simple[..length]);
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
