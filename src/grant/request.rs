//! Writes the form of a token request (RFC 6749, appendix B).

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::grant::client::Client;
use crate::grant::encode::encode;

/// The members of a token request, in the order they were added.
pub(super) struct Form<'a> {
    members: Vec<(&'a str, &'a str)>,
    secrets: Vec<&'a str>,
}

impl<'a> Form<'a> {
    /// A form that begins with the client's id.
    pub(super) fn of(client: &'a Client) -> Self {
        let form = Self {
            members: Vec::new(),
            // Sent in the header or in the form: no error may hold it.
            secrets: client.secret.iter().map(|s| s.as_str()).collect(),
        };
        form.public("client_id", &client.id)
    }

    pub(super) fn public(mut self, name: &'a str, value: &'a str) -> Self {
        self.members.push((name, value));
        self
    }

    pub(super) fn secret(mut self, name: &'a str, value: &'a str) -> Self {
        self.secrets.push(value);
        self.public(name, value)
    }

    pub(super) fn optional(self, name: &'a str, value: Option<&'a str>) -> Self {
        match value {
            Some(value) => self.public(name, value),
            None => self,
        }
    }

    /// What no error may hold.
    pub(super) fn secrets(&self) -> &[&'a str] {
        &self.secrets
    }

    /// The body, which is wiped when its last clone is dropped.
    pub(super) fn to_bytes(&self) -> Bytes {
        // Three for a byte that is escaped, so that the buffer never grows and
        // leaves nothing behind.
        let room = |text: &str| 3 * text.len() + 1;
        let room = self.members.iter().map(|(n, v)| room(n) + room(v)).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        for (name, value) in &self.members {
            if !body.is_empty() {
                body.push(b'&');
            }
            body.extend(encode(name));
            body.push(b'=');
            body.extend(encode(value));
        }
        debug_assert!(body.len() <= room, "the buffer grew");
        Bytes::from_owner(body)
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
        let client = Client::new("api");
        let form = Form::of(&client)
            .public("z", "1")
            .secret("a&b", "ü")
            .optional("none", None)
            .optional("empty", Some(""));
        assert_eq!(form.to_bytes(), "client_id=api&z=1&a%26b=%C3%BC&empty=");
        assert_eq!(form.secrets(), ["ü"]);
    }
}
