//! Writes the form of a token request (RFC 6749, appendix B).

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use zeroize::Zeroizing;

use crate::error::{ConfigError, TokenError};
use crate::grant::secret::{DynSecretSource, Secret, SecretSource};

/// Escapes what `curl --data-urlencode` and Python's `urlencode` escape: everything
/// except the unreserved characters of RFC 3986, section 2.3, and the space, which
/// becomes a plus. The URL standard's serializer would escape `~` and leave `*`.
const ESCAPED: &AsciiSet = &ESCAPED_WITH_SPACES.remove(b' ');
const ESCAPED_WITH_SPACES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Form-urlencodes a string.
pub(super) fn encode(text: &str) -> impl Iterator<Item = u8> {
    percent_encode(text.as_bytes(), ESCAPED)
        .flat_map(str::bytes)
        .map(|byte| if byte == b' ' { b'+' } else { byte })
}

/// Parameters whose values are not secret.
const PUBLIC: [&str; 12] = [
    "account",
    "acr_values",
    "audience",
    "login_hint",
    "organization",
    "realm",
    "requested_issuer",
    "requested_subject",
    "resource",
    "tenant",
    "user",
    "username",
];

/// Form-urlencodes a string with `%20` for the space, which form decoders and others
/// decode.
pub(super) fn encode_with_spaces(text: &str) -> impl Iterator<Item = u8> {
    percent_encode(text.as_bytes(), ESCAPED_WITH_SPACES).flat_map(str::bytes)
}

/// A parameter that a user added to a grant.
pub(super) struct Param {
    name: String,
    value: Value,
}

enum Value {
    Fixed(Secret),
    Source(Box<dyn DynSecretSource>),
}

impl Param {
    pub(super) fn fixed(name: String, value: Secret) -> Self {
        let value = Value::Fixed(value);
        Self { name, value }
    }

    pub(super) fn from_source(name: String, source: impl SecretSource) -> Self {
        let value = Value::Source(Box::new(source));
        Self { name, value }
    }

    /// Refuses an empty name, and one that the grant writes itself.
    pub(super) fn check_name(self, reserved: &[&str]) -> Result<Self, ConfigError> {
        if self.name.is_empty() {
            return Err(ConfigError::new("param", "has no name"));
        }
        if reserved.contains(&self.name.as_str()) {
            let reason = format!("`{}` is set by the grant itself", self.name);
            return Err(ConfigError::new("param", reason));
        }
        Ok(self)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns name and value if the value is fixed, not secret by the parameter's
    /// meaning, and decides what the token is for: RFC 8707, RFC 8693 and servers'
    /// additions to them.
    pub(super) fn public(&self) -> Option<(&str, &str)> {
        match &self.value {
            Value::Fixed(value) if PUBLIC.contains(&self.name.as_str()) => {
                Some((&self.name, value.secret()))
            }
            _ => None,
        }
    }

    /// Returns the source of the value, if it is not fixed.
    pub(super) fn source(&self) -> Option<&dyn DynSecretSource> {
        match &self.value {
            Value::Fixed(_) => None,
            Value::Source(source) => Some(&**source),
        }
    }

    pub(super) async fn value(&self) -> Result<Secret, TokenError> {
        match &self.value {
            Value::Fixed(value) => Ok(value.clone()),
            Value::Source(source) => source.secret().await,
        }
    }
}

impl Hash for Param {
    /// Hashes the name, and the value if it is fixed: what a source will return is
    /// not known.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.name.hash(hasher);
        if let Value::Fixed(value) = &self.value {
            value.secret().hash(hasher);
        }
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Param").field(&self.name).finish()
    }
}

/// A string that a form borrows or owns.
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

/// The parameters of a token request, in the order they were added, and the
/// header that goes with them.
#[derive(Default)]
pub struct Form<'a> {
    params: Vec<(&'a str, Text<'a>)>,
    secrets: Vec<Text<'a>>,
    names: Vec<&'a str>,
    authorization: Option<HeaderValue>,
}

impl<'a> Form<'a> {
    pub(super) fn public(mut self, name: &'a str, value: &'a str) -> Self {
        self.params.push((name, value.into()));
        self
    }

    pub(super) fn secret(self, name: &'a str, value: impl Into<Text<'a>>) -> Self {
        let value = value.into();
        let again = match &value {
            Text::Borrowed(text) => Text::Borrowed(text),
            Text::Owned(secret) => Text::Owned(secret.clone()),
        };
        let mut form = self.redact(again);
        form.params.push((name, value));
        form
    }

    /// Records the name of the user or the client.
    pub(super) fn called(mut self, name: &'a str) -> Self {
        self.names.push(name);
        self
    }

    /// Adds several secret parameters.
    pub(super) fn secrets_of(self, params: Vec<(&'a str, Secret)>) -> Self {
        let add = |form: Self, (name, value)| form.secret(name, Text::Owned(value));
        params.into_iter().fold(self, add)
    }

    pub(super) fn optional(self, name: &'a str, value: Option<&'a str>) -> Self {
        match value {
            Some(value) => self.public(name, value),
            None => self,
        }
    }

    /// Adds the `Authorization` header, which holds this secret within these
    /// credentials.
    pub(super) fn authorized(
        mut self,
        header: HeaderValue,
        secret: impl Into<Text<'a>>,
        credentials: Secret,
    ) -> Self {
        self.authorization = Some(header);
        self.redact(secret.into()).redact(credentials.into())
    }

    fn redact(mut self, secret: Text<'a>) -> Self {
        self.secrets.push(secret);
        self
    }

    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        self.authorization.clone()
    }

    /// Returns what no error may contain.
    pub(super) fn sent(&self) -> Sent<'_> {
        Sent {
            secrets: self.secrets.iter().map(Text::as_str).collect(),
            names: self.names.clone(),
        }
    }

    /// Encodes the body, which is wiped when its last clone is dropped.
    pub(super) fn to_bytes(&self) -> Bytes {
        // An escaped byte takes three, so this is enough: a buffer that grows leaves
        // its old bytes behind, unwiped.
        let max = |text: &str| 3 * text.len() + 1;
        let params = self.params.iter();
        let capacity = params.map(|(n, v)| max(n) + max(v.as_str())).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(capacity));
        for (name, value) in &self.params {
            if !body.is_empty() {
                body.push(b'&');
            }
            body.extend(encode(name));
            body.push(b'=');
            body.extend(encode(value.as_str()));
        }
        debug_assert!(body.len() <= capacity, "the buffer grew");
        Bytes::from_owner(body)
    }
}

/// What was sent with a request and must not appear in an error.
#[derive(Default)]
pub(super) struct Sent<'a> {
    /// Removed wherever they occur, and so are pieces of them.
    pub(super) secrets: Vec<&'a str>,
    /// The user and the client; a short name is removed only as a separate word.
    pub(super) names: Vec<&'a str>,
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
    fn parameters_keep_their_order_and_names_are_escaped_too() {
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
        assert_eq!(form.sent().secrets, ["ü", "v w"]);
    }
}
