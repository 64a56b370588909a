//! Writes the form of a token request (RFC 6749, appendix B).

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::grant::encode::encode;
use crate::grant::secret::Secret;

/// A text that a form borrows or keeps.
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Owned(Secret),
}

impl Text<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(secret) => secret.secret(),
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text)
    }
}

impl From<Secret> for Text<'_> {
    fn from(secret: Secret) -> Self {
        Self::Owned(secret)
    }
}

/// The members of a token request, in the order they were added, and the
/// header that goes with them.
#[derive(Default)]
pub struct Form<'a> {
    members: Vec<(&'a str, Text<'a>)>,
    secrets: Vec<Text<'a>>,
    authorization: Option<HeaderValue>,
}

impl<'a> Form<'a> {
    pub(super) fn public(mut self, name: &'a str, value: &'a str) -> Self {
        self.members.push((name, value.into()));
        self
    }

    pub(super) fn secret(self, name: &'a str, value: impl Into<Text<'a>>) -> Self {
        let value = value.into();
        let again = match &value {
            Text::Borrowed(text) => Text::Borrowed(text),
            Text::Owned(secret) => Text::Owned(secret.clone()),
        };
        let mut form = self.redact(again);
        form.members.push((name, value));
        form
    }

    pub(super) fn optional(self, name: &'a str, value: Option<&'a str>) -> Self {
        match value {
            Some(value) => self.public(name, value),
            None => self,
        }
    }

    /// Adds the header of a request, which holds this secret.
    pub(super) fn authorized(mut self, header: HeaderValue, secret: &'a str) -> Self {
        self.authorization = Some(header);
        self.redact(secret.into())
    }

    fn redact(mut self, secret: Text<'a>) -> Self {
        self.secrets.push(secret);
        self
    }

    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        self.authorization.clone()
    }

    /// What no error may hold.
    pub(super) fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(Text::as_str).collect()
    }

    /// The body, which is wiped when its last clone is dropped.
    pub(super) fn to_bytes(&self) -> Bytes {
        // Three for a byte that is escaped, so that the buffer never grows and
        // leaves nothing behind.
        let room = |text: &str| 3 * text.len() + 1;
        let rooms = self.members.iter();
        let room = rooms.map(|(n, v)| room(n) + room(v.as_str())).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        for (name, value) in &self.members {
            if !body.is_empty() {
                body.push(b'&');
            }
            body.extend(encode(name));
            body.push(b'=');
            body.extend(encode(value.as_str()));
        }
        debug_assert!(body.len() <= room, "the buffer grew");
        Bytes::from_owner(body)
    }
}

impl fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay_as_they_are() {
        let escaped = |byte: u8| {
            let text = String::from_utf8(vec![byte]).expect("ascii");
            String::from_utf8(encode(&text).collect()).expect("ascii")
        };
        for byte in 0..=0x7f_u8 {
            let expected = match byte {
                b' ' => "+".into(),
                b'-' | b'.' | b'_' | b'~' => char::from(byte).into(),
                _ if byte.is_ascii_alphanumeric() => char::from(byte).into(),
                _ => format!("%{byte:02X}"),
            };
            assert_eq!(escaped(byte), expected, "{byte:#x}");
        }
    }

    #[test]
    fn members_keep_their_order_and_names_are_escaped_too() {
        let form = Form::default()
            .public("client_id", "api")
            .public("z", "1")
            .secret("a&b", "ü")
            .optional("none", None)
            .optional("empty", Some(""))
            .secret("k", Secret::from("v w"));
        assert_eq!(
            form.to_bytes(),
            "client_id=api&z=1&a%26b=%C3%BC&empty=&k=v+w"
        );
        assert_eq!(form.secrets(), ["ü", "v w"]);
    }
}
