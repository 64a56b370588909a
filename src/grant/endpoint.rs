//! A token endpoint (RFC 6749, section 3.2): its rules, its client, and the way
//! there.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::Uri;
use url::Url;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::request::Form;
use crate::grant::response;
use crate::origins::is_loopback;
use crate::token::TokenResponse;
use crate::transport::{DefaultTransport, Limits, Outgoing, Transport, exchange};

const FIELD: &str = "endpoint";

/// Where a grant asks for tokens. A text is one: the token endpoint's address.
#[derive(Clone)]
pub struct Endpoint(Uri);

impl Endpoint {
    /// The token endpoint at this address.
    ///
    /// # Errors
    ///
    /// If it is not `https` (`http` is for loopback: `localhost`, 127.0.0.0/8,
    /// `[::1]`), or has a user name or a fragment. The error does not quote it.
    pub fn new(address: impl AsRef<str>) -> Result<Self, ConfigError> {
        parse(address.as_ref()).map(Self)
    }

    pub(super) fn known(uri: Uri) -> Self {
        Self(uri)
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = ConfigError;

    fn try_from(address: &str) -> Result<Self, ConfigError> {
        Self::new(address)
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = ConfigError;

    fn try_from(address: &String) -> Result<Self, ConfigError> {
        Self::new(address)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = ConfigError;

    fn try_from(address: String) -> Result<Self, ConfigError> {
        Self::new(address)
    }
}

impl From<Infallible> for ConfigError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the query, which may hold a key.
        f.debug_struct("Endpoint")
            .field("host", &self.0.host())
            .field("path", &self.0.path())
            .finish_non_exhaustive()
    }
}

/// An endpoint, who asks there, and how.
pub(super) struct TokenEndpoint<T> {
    place: Endpoint,
    pub(super) client: Client,
    limits: Limits,
    /// In a mutex, for a service need not be `Sync`. Held for a clone only.
    transport: Mutex<T>,
}

impl TokenEndpoint<DefaultTransport> {
    pub(super) fn new(place: Endpoint, client: Client) -> Self {
        Self {
            place,
            client,
            limits: Limits::default(),
            transport: Mutex::default(),
        }
    }
}

impl<T> TokenEndpoint<T> {
    pub(super) fn through<S>(self, transport: S) -> TokenEndpoint<S> {
        TokenEndpoint {
            place: self.place,
            client: self.client,
            limits: self.limits,
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

impl<T: Transport> TokenEndpoint<T> {
    /// Posts a form, proof of the client included, and reads the answer.
    /// `finish` adds what comes after that proof, `accepts` judges the
    /// `issued_token_type` of the answer.
    pub(super) async fn ask<'a>(
        &'a self,
        form: Form<'a>,
        finish: impl FnOnce(Form<'a>) -> Form<'a>,
        accepts: impl Fn(Option<&str>) -> bool,
    ) -> Result<TokenResponse, TokenError> {
        let uri = &self.place.0;
        let form = finish(self.client.prove(form, uri).await?);
        let request = Outgoing {
            uri,
            authorization: form.authorization(),
            body: form.to_bytes(),
            secrets: &form.secrets(),
        };
        let answer = exchange(self.transport(), &request, self.limits).await?;
        let echoes = |text: &str| request.echoes(text);
        response::read(&answer, echoes, accepts, SystemTime::now())
    }

    fn transport(&self) -> T {
        let transport = self.transport.lock();
        transport.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T> fmt::Debug for TokenEndpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("at", &self.place)
            .field("client", &self.client)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A token endpoint's address. The reason of a refusal never quotes it, for it
/// may hold a password or a key.
pub(super) fn parse(text: &str) -> Result<Uri, ConfigError> {
    let refuse = |reason: &'static str| ConfigError::new(FIELD, reason);
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
        Url::parse(text).map_err(|e| ConfigError::new(FIELD, format!("is not a URL: {e}")))?;
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
