//! The URL of an endpoint: which URLs are accepted, and which types.

use http::Uri;
use url::Url;

use crate::error::ConfigError;
use crate::plain_http::{PlainHttp, is_loopback};

/// URL of an endpoint: a `&str`, `String`, [`Uri`] or [`Url`], a reference to one,
/// or an [`allow_plain_http`](crate::allow_plain_http).
///
/// ```
/// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::PasswordGrant;
///
/// let token_endpoint: http::Uri = "https://auth.example.com/token".parse()?;
/// let grant = PasswordGrant::new(token_endpoint, "my-app", "me", "password")?
///     .logout_endpoint("https://auth.example.com/logout")?;
/// # let _ = grant; Ok(()) }
/// # grant().unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the URL of an endpoint",
    label = "not a URL",
    note = "a `&str`, `String`, `http::Uri` or `url::Url` is one"
)]
pub trait EndpointUrl: sealed::Text {}

#[diagnostic::do_not_recommend]
impl<T: sealed::Text> EndpointUrl for T {}

mod sealed {
    use std::borrow::Cow;

    use super::*;

    /// Converts anything that is a URL into the string that is checked.
    pub trait Text {
        fn text(&self) -> Cow<'_, str>;

        fn allows_plain_http(&self) -> bool {
            false
        }
    }

    impl Text for PlainHttp {
        fn text(&self) -> Cow<'_, str> {
            self.as_str().into()
        }

        fn allows_plain_http(&self) -> bool {
            true
        }
    }

    macro_rules! text {
        ($url:ident: $($type:ty),+ => $text:expr) => {$(
            impl Text for $type {
                fn text(&self) -> Cow<'_, str> {
                    let $url = self;
                    $text.into()
                }
            }
        )+};
    }

    text!(url: String, &String, Url, &Url => url.as_str());
    text!(url: Uri, &Uri => url.to_string());
    text!(url: &str => **url);
}

/// Parses what was set as `field`: see [`parse_as`].
pub(super) fn parse(field: &'static str, url: impl EndpointUrl) -> Result<Uri, ConfigError> {
    parse_as(field, &url.text(), url.allows_plain_http())
}

/// Parses the URL of an endpoint that is set as `field`. The error never quotes
/// it, because it may hold a password or a key.
///
/// Plain http off loopback is refused unless it is allowed.
pub(in crate::grant) fn parse_as(
    field: &'static str,
    text: &str,
    allows_plain_http: bool,
) -> Result<Uri, ConfigError> {
    let refuse = |reason: &'static str| ConfigError::new(field, reason);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(refuse("has no scheme: write `https://host/path`"));
    };
    // The parser of the URL standard accepts these.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(refuse(
            "has a space, a control character or a backslash: percent-encode or remove it",
        ));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(refuse("has no host: write `https://host/path`"));
    }
    if authority.contains('@') {
        return Err(refuse("has a user name or password: remove it"));
    }
    if rest.contains('#') {
        return Err(refuse("has a fragment: remove it from the `#` on"));
    }
    if !["https", "http"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(refuse(
            "has a scheme other than https: write `https://host/path`",
        ));
    }
    let url =
        Url::parse(text).map_err(|e| ConfigError::new(field, format!("is not a URL: {e}")))?;
    if url.scheme() != "https" && !allows_plain_http && !is_loopback(&url) {
        return Err(refuse(
            "is plain http, which is only for loopback (`localhost`, 127.0.0.0/8, `[::1]`): \
             use https, or `allow_plain_http` where nobody can listen",
        ));
    }
    if url.port() == Some(0) {
        return Err(refuse("has port 0: give the port of the server, or none"));
    }
    url.as_str()
        .parse()
        .map_err(|_| refuse("has a character that HTTP cannot carry: percent-encode it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Uri, ConfigError> {
        parse_as("endpoint", text, false)
    }

    #[test]
    fn an_endpoint_is_https_or_on_loopback() {
        for (text, uri) in [
            (
                "https://auth.voipex.io/token",
                "https://auth.voipex.io/token",
            ),
            ("HTTPS://Auth.example.com", "https://auth.example.com/"),
            (
                "https://a.example:8443/t?tenant=1",
                "https://a.example:8443/t?tenant=1",
            ),
            (
                "https://a.example/t?mail=me@b",
                "https://a.example/t?mail=me@b",
            ),
            (
                "https://bücher.example/t",
                "https://xn--bcher-kva.example/t",
            ),
            ("http://localhost:8080/t", "http://localhost:8080/t"),
            ("http://127.0.0.1:1/t", "http://127.0.0.1:1/t"),
            ("http://[::1]/t", "http://[::1]/t"),
        ] {
            assert_eq!(parse(text).expect(text), uri, "{text}");
        }
    }

    #[test]
    fn plain_http_off_loopback_is_accepted_only_where_it_is_allowed() {
        const TEXT: &str = "http://keycloak:8080/token";
        let allowed = super::parse("endpoint", crate::allow_plain_http(TEXT));
        assert_eq!(allowed.expect("allowed"), TEXT);
        let error = super::parse("endpoint", TEXT).expect_err("not allowed");
        assert!(error.to_string().contains("allow_plain_http"), "{error}");
        for text in ["ftp://keycloak/token", "http://me:hunter2@keycloak/"] {
            assert!(super::parse("endpoint", crate::allow_plain_http(text)).is_err());
        }
    }

    #[test]
    fn bad_endpoints_are_refused_with_the_reason_and_never_quoted() {
        for (text, reason) in [
            ("", "no scheme"),
            ("/token", "no scheme"),
            ("a.example/token", "no scheme"),
            ("https:a.example", "no scheme"),
            ("https://", "no host"),
            ("https:///token", "no host"),
            ("https://me:hunter2@a.example/token", "a user name"),
            ("https://hunter2@a.example", "a user name"),
            ("https://@a.example", "a user name"),
            ("https://a.example/token#hunter2", "a fragment"),
            ("https://a.example/token#", "a fragment"),
            ("ftp://a.example/hunter2", "scheme other"),
            ("http://a.example/token?key=hunter2", "plain http"),
            ("http://localhost.evil.test/", "plain http"),
            ("http://0.0.0.0/", "plain http"),
            ("https://a.example/hunter2 x", "a space"),
            ("https://a.example\\hunter2", "backslash"),
            ("https://a.example:hunter2/", "not a URL"),
            ("https://a.example:99999/", "not a URL"),
            ("https://[hunter2/", "not a URL"),
            ("https://a:0/", "port 0"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.field(), "endpoint");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(reason), "{text}: {shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
