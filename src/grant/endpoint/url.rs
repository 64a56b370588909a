//! The address of an endpoint: a pure decision.

use http::Uri;
use url::Url;

use crate::error::ConfigError;
use crate::origins::is_loopback;

/// The address of an endpoint that is set as `field`. The reason of a refusal
/// never quotes it, for it may hold a password or a key.
pub(in crate::grant) fn parse_as(field: &'static str, text: &str) -> Result<Uri, ConfigError> {
    let refuse = |reason: &'static str| ConfigError::new(field, reason);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(refuse("has no scheme: write `https://host/path`"));
    };
    // The parser of the URL standard forgives these; a reader would not.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(refuse("has a space, a control character or a backslash"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(refuse("has no host"));
    }
    if authority.contains('@') {
        return Err(refuse("has a user name"));
    }
    if rest.contains('#') {
        return Err(refuse("has a fragment"));
    }
    if !["https", "http"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(refuse("has a scheme other than https"));
    }
    let url =
        Url::parse(text).map_err(|e| ConfigError::new(field, format!("is not a URL: {e}")))?;
    if url.scheme() != "https" && !is_loopback(&url) {
        return Err(refuse("is plain http, which only loopback may be"));
    }
    if url.port() == Some(0) {
        return Err(refuse("has port 0"));
    }
    url.as_str()
        .parse()
        .map_err(|_| refuse("has a character that HTTP cannot carry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Uri, ConfigError> {
        parse_as("endpoint", text)
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
