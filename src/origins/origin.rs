//! One origin (RFC 6454, section 4).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::uri::Authority;
use url::{Host, Url};

use crate::error::ConfigError;
use crate::plain_http::is_loopback;

use self::sealed::Text;

pub(super) const FIELD: &str = "origins";

/// Scheme, host and port.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) https: bool,
    /// Lower case, international names in ASCII form, IPv6 in brackets.
    pub(super) host: Box<str>,
    pub(super) port: u16,
    /// The usual spelling in requests: with a port only if it is not the scheme's
    /// default.
    authority: Box<str>,
    pub(super) id: OriginId,
}

impl Origin {
    /// Returns whether a URI spells the origin exactly like this.
    #[inline(always)]
    pub(super) fn is_spelled(&self, scheme: &str, authority: &Authority) -> bool {
        let is_scheme = match self.https {
            true => scheme == "https",
            false => scheme == "http",
        };
        is_scheme && same_bytes(self.authority.as_bytes(), authority.as_str().as_bytes())
    }
}

/// Identifies an origin where rejections are remembered. A hash, so that a request
/// in flight carries no copy of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginId(u32);

impl OriginId {
    /// The origin of a rejection that no layer saw.
    pub(crate) const UNKNOWN: Self = Self(0);

    #[cfg(test)]
    pub(crate) const fn new(id: u32) -> Self {
        Self(id)
    }

    /// Hashes with FNV-1a, whatever the case of the host.
    pub(super) fn of(https: bool, host: &str, port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        let bytes = host.bytes().map(|byte| byte.to_ascii_lowercase());
        let bytes = bytes.chain([u8::from(https), high, low]);
        Self(bytes.fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        }))
    }

    /// Returns the origin of a URL, whether or not a token may go there.
    #[cfg(feature = "reqwest")]
    pub(crate) fn of_url(url: &Url) -> Option<Self> {
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        Some(Self::of(url.scheme() == "https", host, port))
    }
}

/// The URL of an origin: anything that is a string, or an
/// [`allow_plain_http`](crate::allow_plain_http).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the URL of an origin",
    label = "not a string",
    note = "a `&str` or a `String` is one; so is `allow_plain_http(\"http://host\")`"
)]
pub trait OriginUrl: Text {}

#[diagnostic::do_not_recommend]
impl<T: Text> OriginUrl for T {}

mod sealed {
    use crate::plain_http::PlainHttp;

    pub trait Text {
        fn text(&self) -> &str;

        fn allows_plain_http(&self) -> bool {
            false
        }
    }

    #[diagnostic::do_not_recommend]
    impl<T: AsRef<str>> Text for T {
        fn text(&self) -> &str {
            self.as_ref()
        }
    }

    impl Text for PlainHttp {
        fn text(&self) -> &str {
            self.as_str()
        }

        fn allows_plain_http(&self) -> bool {
            true
        }
    }
}

impl Origin {
    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    pub(super) fn parse(url: impl OriginUrl) -> Result<Self, ConfigError> {
        let (text, allows_plain_http) = (url.text(), url.allows_plain_http());
        let refuse = |reason: &str| ConfigError::new(FIELD, format!("`{text}` {reason}"));
        // Checked before any error that quotes the text: the part before an `@` may
        // be a password.
        if text.contains('@') {
            let reason = "one has a user name or password: remove it";
            return Err(ConfigError::new(FIELD, reason));
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return Err(refuse("has no scheme: write `https://host`"));
        };
        if !["https", "http"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return Err(refuse(
                "has a scheme other than https: write `https://host`",
            ));
        }
        // The parser of the URL standard accepts these.
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(refuse(
                "has a space, a control character or a backslash: remove it",
            ));
        }
        let url = Url::parse(text).map_err(|e| refuse(&format!("is not an origin: {e}")))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse(
                "has a query or a fragment: write only scheme, host and port",
            ));
        }
        if url.path() != "/" {
            return Err(refuse("has a path: write only scheme, host and port"));
        }
        if let Some(reason) = url.domain().and_then(matches_nothing) {
            return Err(refuse(reason));
        }
        let https = url.scheme() == "https";
        if !https && !allows_plain_http && !is_loopback(&url) {
            return Err(refuse(
                "is plain http, which is only for loopback (`localhost`, 127.0.0.0/8, `[::1]`): \
                 use https, or `allow_plain_http` where nobody can listen",
            ));
        }
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if port != 0 => Ok(Self {
                id: OriginId::of(https, host, port),
                https,
                host: host.into(),
                port,
                authority: url.authority().into(),
            }),
            _ => Err(refuse("has no host or port 0: write `https://host`")),
        }
    }
}

/// Returns why no request can have this host name, although the parser of the URL
/// standard accepts it.
fn matches_nothing(name: &str) -> Option<&'static str> {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    // A trailing dot is the root of all names.
    let labels = name.strip_suffix('.').unwrap_or(name);
    if name.contains('*') {
        Some("has a wildcard, which matches no host: name each origin")
    } else if !name.chars().all(is_usual) {
        Some("has a character that no host name has: is a placeholder not filled in?")
    } else if labels.split('.').any(str::is_empty) {
        Some("has an empty part between the dots of its host: remove a dot")
    } else {
        None
    }
}

/// Compares most host names without a function call, as two words that may overlap.
#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    fn word(chunk: Option<&[u8; 8]>) -> Option<u64> {
        chunk.copied().map(u64::from_ne_bytes)
    }
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        8..=16 => {
            word(a.first_chunk()) == word(b.first_chunk())
                && word(a.last_chunk()) == word(b.last_chunk())
        }
        _ => a == b,
    }
}

/// Returns the port of an authority, or `None` if it is not a valid one. `http`
/// reads a port that is too large as none, and one with a sign as the number.
pub(super) fn port(authority: &Authority, default: u16) -> Option<u16> {
    let text = authority.as_str();
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let rest = text.strip_prefix(authority.host())?;
    match rest.strip_prefix(':') {
        None => rest.is_empty().then_some(default),
        Some("") => Some(default),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok(),
        Some(_) => None,
    }
}

pub(super) fn same_host(origin: &str, host: &str) -> bool {
    if origin.eq_ignore_ascii_case(host) {
        return true;
    }
    let v6 = |text: &str| -> Option<Ipv6Addr> {
        text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
    };
    if let (Some(a), Some(b)) = (v6(origin), v6(host)) {
        return a == b;
    }
    // `127.1` is 127.0.0.1, for the parser of the URL standard and for resolvers.
    let is_v4 = origin.parse::<Ipv4Addr>().is_ok();
    is_v4 && matches!(Host::parse(host), Ok(Host::Ipv4(host)) if host.to_string() == origin)
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme(), self.host, self.port)
    }
}
