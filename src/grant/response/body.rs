//! The members of a response: JSON, or a form if its content type says so.

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::grant::response::json_text;
use crate::token::ResponseMembers;

/// A JSON value. Has no `Debug`, because it may be secret.
#[derive(PartialEq, Eq)]
pub(in crate::grant) enum JsonValue {
    Null,
    Text(Zeroizing<String>),
    Number(Zeroizing<String>),
    /// Any other value: its kind in words, and its JSON.
    Other(&'static str, Zeroizing<String>),
}

/// A member that occurs twice with different values: parsers differ in which one
/// they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grant) struct Twice;

struct Member {
    value: JsonValue,
    is_ambiguous: bool,
}

/// The members of a response, by name.
#[derive(Default)]
pub(in crate::grant) struct Members(BTreeMap<String, Member>);

impl Members {
    /// Reads the body of a response with these headers.
    ///
    /// # Errors
    ///
    /// Fails as [`parse_json`](Self::parse_json) does.
    pub(in crate::grant) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, &'static str> {
        let body = without_byte_order_mark(body);
        // JSON is read as JSON even with the content type of a form.
        if is_form(headers) && !body.trim_ascii_start().starts_with(b"{") {
            return match body.trim_ascii() {
                b"" => Err("is empty"),
                form => Ok(Self::parse_form(form)),
            };
        }
        Self::parse_json(body)
    }

    /// Reads a JSON object. Skips a byte order mark, as RFC 8259, section 8.1,
    /// permits. Bytes that are not UTF-8 become U+FFFD, so that they do not spoil
    /// other members.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the body, without quoting it.
    pub(in crate::grant) fn parse_json(body: &[u8]) -> Result<Self, &'static str> {
        let body = without_byte_order_mark(body);
        if body.trim_ascii().is_empty() {
            return Err("is empty");
        }
        let replaced;
        let text = match std::str::from_utf8(body) {
            Ok(text) => text,
            Err(_) => {
                replaced = replace_invalid(body);
                &replaced
            }
        };
        let mut reader = serde_json::Deserializer::from_str(text);
        reader
            .deserialize_map(Reader)
            .and_then(|members| reader.end().map(|()| members))
            .map_err(|error| match error.is_data() {
                true => "is JSON, but not an object",
                false => "is not JSON",
            })
    }

    fn parse_form(body: &[u8]) -> Self {
        let mut members = Self::default();
        for pair in body.split(|byte| *byte == b'&') {
            let end = pair.iter().position(|byte| *byte == b'=');
            let end = end.unwrap_or(pair.len());
            let name = decode(&pair[..end]);
            let value = decode(pair.get(end + 1..).unwrap_or_default());
            members.add((*name).clone(), JsonValue::Text(value));
        }
        members
    }

    fn add(&mut self, name: String, value: JsonValue) {
        let first = self.0.entry(name).or_insert_with(|| Member {
            value: JsonValue::Null,
            is_ambiguous: false,
        });
        // A null means the same as a missing member.
        if first.value == JsonValue::Null {
            first.value = value;
        } else if value != JsonValue::Null && value != first.value {
            first.is_ambiguous = true;
        }
    }

    /// Returns a member. One that is `null` is `None`.
    ///
    /// # Errors
    ///
    /// Fails if it occurs twice with different values.
    pub(in crate::grant) fn get(&self, name: &str) -> Result<Option<&JsonValue>, Twice> {
        match self.0.get(name) {
            Some(member) if member.is_ambiguous => Err(Twice),
            Some(member) => Ok(Some(&member.value).filter(|value| **value != JsonValue::Null)),
            None => Ok(None),
        }
    }

    /// Returns a member if it is a string.
    pub(in crate::grant) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Ok(Some(JsonValue::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// Returns the `error` member (RFC 6749, section 5.2) if it is a string.
    pub(in crate::grant) fn code(&self) -> Option<&str> {
        self.text("error")
    }

    /// Returns the members of an object within this one; none if it is not an
    /// object.
    pub(in crate::grant) fn object(&self, name: &str) -> Self {
        match self.get(name) {
            Ok(Some(JsonValue::Other(_, json))) => {
                Self::parse_json(json.as_bytes()).unwrap_or_default()
            }
            _ => Self::default(),
        }
    }

    /// Returns all members that have a value, except the tokens: a string as it is,
    /// anything else as JSON.
    pub(in crate::grant) fn into_response_members(mut self) -> ResponseMembers {
        self.0.remove("access_token");
        self.0.remove("refresh_token");
        let members = self.0.into_iter().filter(|(_, it)| !it.is_ambiguous);
        let members = members.filter_map(|(name, member)| match member.value {
            JsonValue::Null => None,
            JsonValue::Text(text) => Some((name, text)),
            JsonValue::Number(json) | JsonValue::Other(_, json) => Some((name, json)),
        });
        members.collect()
    }
}

impl JsonValue {
    fn of(json: &str) -> Self {
        let copy = || Zeroizing::new(json.to_owned());
        match json.as_bytes().first() {
            Some(b'"') => match json_text::unescape(json) {
                Some(text) => Self::Text(text),
                None => Self::Other("a string that is not Unicode", copy()),
            },
            Some(b'{') => Self::Other("an object", copy()),
            Some(b'[') => Self::Other("an array", copy()),
            Some(b't' | b'f') => Self::Other("a boolean", copy()),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number(copy()),
        }
    }

    /// Returns the kind of value, in words.
    pub(in crate::grant) fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Other(what, _) => what,
        }
    }
}

/// Reads an object without copying any value: a parser's own buffers are not wiped.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            let json = map.next_value::<&RawValue>()?;
            members.add(name, JsonValue::of(json.get()));
        }
        Ok(members)
    }
}

pub(in crate::grant) fn without_byte_order_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = value
        .and_then(|it| it.split(';').next())
        .unwrap_or_default();
    let essence = essence.trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Decodes a name or a value of a form (the URL standard, section 5.1).
fn decode(text: &[u8]) -> Zeroizing<String> {
    let mut spaced = Zeroizing::new(text.to_vec());
    for byte in spaced.iter_mut().filter(|byte| **byte == b'+') {
        *byte = b' ';
    }
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    decoded.extend(percent_decode(&spaced));
    replace_invalid(&decoded)
}

/// Returns the text with U+FFFD for what is not UTF-8. Its buffer never grows, which
/// would leave the old bytes behind, unwiped.
fn replace_invalid(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(3 * bytes.len()));
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(members: &Members, name: &str) -> Result<Option<String>, Twice> {
        let value = members.get(name)?;
        Ok(value.map(|value| match value {
            JsonValue::Text(text) => format!("text {}", text.as_str()),
            JsonValue::Number(json) => format!("number {}", json.as_str()),
            other => other.what().to_owned(),
        }))
    }

    #[test]
    fn a_member_twice_with_one_value_is_that_value() {
        for (json, value) in [
            (r#"{"a":1,"a":1}"#, Ok(Some("number 1"))),
            (r#"{"a":"\u0062","a":"b"}"#, Ok(Some("text b"))),
            (r#"{"a":null,"a":"b"}"#, Ok(Some("text b"))),
            (r#"{"a":"b","a":null}"#, Ok(Some("text b"))),
            (r#"{"a":null,"a":null}"#, Ok(None)),
            (r#"{"a":1,"a":"1"}"#, Err(Twice)),
            (r#"{"a":1,"a":2,"a":1}"#, Err(Twice)),
            (r#"{"b":1,"b":2,"a":true}"#, Ok(Some("a boolean"))),
        ] {
            let members = Members::parse_json(json.as_bytes()).expect(json);
            assert_eq!(
                shown(&members, "a"),
                value.map(|it| it.map(Into::into)),
                "{json}"
            );
        }
    }

    #[test]
    fn a_form_is_read_where_the_content_type_says_so() {
        let form = "application/x-www-form-urlencoded";
        for (content_type, body, value) in [
            (form, "a=b+c%2Bd&x", Some("text b c+d")),
            (form, "x=1&a=b=c", Some("text b=c")),
            (form, "a", Some("text ")),
            (form, "a=%ff%zz", Some("text \u{fffd}%zz")),
            (
                "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
                "a=b",
                Some("text b"),
            ),
            // Some servers send JSON with any content type.
            (form, r#" {"a":"b"}"#, Some("text b")),
            ("text/html", r#"{"a":"b"}"#, Some("text b")),
            ("text/plain", "a=b", None),
            ("application/json", "a=b", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().expect("ok"))]);
            let members = Members::parse(&headers, body.as_bytes()).ok();
            let value = value.map(str::to_owned);
            let found = members.and_then(|it| shown(&it, "a").expect("once"));
            assert_eq!(found, value, "{content_type} {body}");
        }
    }

    #[test]
    fn what_is_not_utf_8_spoils_no_other_member() {
        let members = Members::parse_json(b"{\"a\":\"b\",\"c\":\"\xfc\"}").expect("JSON");
        assert_eq!(members.text("a"), Some("b"));
        assert_eq!(members.text("c"), Some("\u{fffd}"));
    }

    #[test]
    fn many_members_are_read_in_time() {
        let many: String = (0..20_000).map(|n| format!("\"{n}\":1,")).collect();
        let members = Members::parse_json(format!("{{{many}\"a\":2}}").as_bytes());
        assert_eq!(
            shown(&members.expect("JSON"), "a"),
            Ok(Some("number 2".into()))
        );
    }
}
