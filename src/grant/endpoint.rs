//! A token endpoint (RFC 6749, section 3.2): its rules, its client, and the way
//! there.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::Uri;
use url::Url;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::client::Client;
use crate::grant::ending::Ending;
use crate::grant::request::Form;
use crate::grant::response;
use crate::origins::is_loopback;
use crate::token::TokenResponse;
use crate::transport::{Answer, DefaultTransport, Limits, Outgoing, Transport, exchange};

pub(super) struct TokenEndpoint<T> {
    uri: Uri,
    pub(super) client: Client,
    limits: Limits,
    pub(super) ending: Option<Ending>,
    /// In a mutex, for a service need not be `Sync`. Held for a clone only.
    transport: Mutex<T>,
}

impl TokenEndpoint<DefaultTransport> {
    pub(super) fn new(uri: Uri, client: Client) -> Self {
        Self {
            uri,
            client,
            limits: Limits::default(),
            ending: None,
            transport: Mutex::default(),
        }
    }
}

impl<T> TokenEndpoint<T> {
    pub(super) fn through<S>(self, transport: S) -> TokenEndpoint<S> {
        TokenEndpoint {
            uri: self.uri,
            client: self.client,
            limits: self.limits,
            ending: self.ending,
            transport: Mutex::new(transport),
        }
    }

    pub(super) fn set_timeout(&mut self, timeout: Duration) -> Result<(), ConfigError> {
        if timeout.is_zero() {
            return Err(ConfigError::new("timeout", "is zero"));
        }
        self.limits.timeout = timeout;
        Ok(())
    }

    pub(super) fn set_max_response(&mut self, bytes: usize) -> Result<(), ConfigError> {
        if bytes == 0 {
            return Err(ConfigError::new("max_response", "is zero"));
        }
        self.limits.max_response = bytes;
        Ok(())
    }
}

impl<T> Hash for TokenEndpoint<T> {
    /// Of the address and the client.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Client { id, secret, .. } = &self.client;
        (&self.uri, id, secret.as_deref()).hash(hasher);
    }
}

impl<T: Transport> TokenEndpoint<T> {
    /// Asks for a token with this form.
    pub(super) async fn ask(&self, form: Form<'_>) -> Result<TokenResponse, TokenError> {
        let read = |answer: &Answer, request: &Outgoing<'_>| {
            response::read(answer, |text| request.echoes(text), SystemTime::now())
        };
        self.post(&self.uri, form, read).await
    }

    /// Posts the form to an endpoint of the same server and reads the answer.
    pub(super) async fn post<R>(
        &self,
        uri: &Uri,
        form: Form<'_>,
        read: impl FnOnce(&Answer, &Outgoing<'_>) -> Result<R, TokenError>,
    ) -> Result<R, TokenError> {
        if self.client.id.is_empty() {
            let what = "the client id is empty";
            return Err(TokenError::new(TokenErrorKind::Config, what));
        }
        let request = Outgoing {
            uri,
            authorization: self.client.authorization()?,
            body: form.to_bytes(),
            secrets: form.secrets(),
        };
        let transport = self
            .transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let answer = exchange(transport, &request, self.limits).await?;
        read(&answer, &request)
    }
}

impl<T> fmt::Debug for TokenEndpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the query, which may hold a key.
        f.debug_struct("TokenEndpoint")
            .field("host", &self.uri.host())
            .field("path", &self.uri.path())
            .field("client", &self.client)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A token endpoint's address. The reason of a refusal never quotes it, for it
/// may hold a password or a key.
pub(super) fn parse(text: &str) -> Result<Uri, ConfigError> {
    parse_as("endpoint", text)
}

/// The address of an endpoint that is set as `field`.
pub(super) fn parse_as(field: &'static str, text: &str) -> Result<Uri, ConfigError> {
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
