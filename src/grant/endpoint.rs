//! A token endpoint (RFC 6749, section 3.2): its rules, its client, and the way
//! there.

use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::Uri;
use url::Url;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::ending::Ending;
use crate::grant::issuer::Issuer;
use crate::grant::metadata::Metadata;
use crate::grant::request::Form;
use crate::grant::response;
use crate::origins::is_loopback;
use crate::token::TokenResponse;
use crate::transport::{Answer, DefaultTransport, Limits, Outgoing, Transport, exchange};

/// Where a grant asks for tokens: a token endpoint's address, for which a text
/// will do as well, or an issuer that names it.
#[derive(Clone)]
pub struct Endpoint(Place);

#[derive(Clone)]
enum Place {
    Known(Uri),
    Issuer(Arc<Issuer>),
}

impl Endpoint {
    /// The token endpoint at this address.
    ///
    /// # Errors
    ///
    /// If it is not `https` (`http` is for loopback: `localhost`, 127.0.0.0/8,
    /// `[::1]`), or has a user name or a fragment. The error does not quote it.
    pub fn new(address: impl AsRef<str>) -> Result<Self, ConfigError> {
        Ok(Self::known(parse_as("endpoint", address.as_ref())?))
    }

    /// The token endpoint that this issuer names in its metadata.
    ///
    /// ```
    /// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
    /// # let secret = "s";
    /// use tower_bearer::grant::{ClientCredentialsGrant, Endpoint};
    ///
    /// let realm = Endpoint::issuer("https://id.example.com/realms/calls")?;
    /// let grant = ClientCredentialsGrant::new(realm, "billing")?.client_secret(secret);
    /// # let _ = grant; Ok(()) }
    /// # grant().unwrap();
    /// ```
    ///
    /// The document is asked for through the grant's transport before the first
    /// token, at `…/.well-known/openid-configuration` (OpenID Connect Discovery
    /// 1.0, section 4) and, if the server has nothing there, at
    /// `/.well-known/oauth-authorization-server…` (RFC 8414, section 3). It is
    /// kept for an hour, by all clones together; if it cannot be read again
    /// then, the old one serves on. Its revocation endpoint, or else its
    /// `end_session_endpoint`, serves [`TokenCache::revoke`] where the grant was
    /// given none.
    ///
    /// When the document cannot be had, or is not used, no token is asked for:
    ///
    /// | | kind of error |
    /// |---|---|
    /// | it could not be reached, or not in time | [`Connect`], [`Timeout`], [`Unavailable`], which are transient |
    /// | it redirects, except by 307 or 308 within its origin | [`Redirected`] |
    /// | there is none | [`Config`] |
    /// | it is larger than [`max_response`](super::Grant::max_response), not JSON, names another issuer than exactly this text, or a token endpoint against the rules of [`new`](Self::new) or in plain http for an issuer in https | [`Malformed`] |
    ///
    /// [`TokenCache::revoke`]: crate::TokenCache::revoke
    /// [`Connect`]: crate::TokenErrorKind::Connect
    /// [`Timeout`]: crate::TokenErrorKind::Timeout
    /// [`Unavailable`]: crate::TokenErrorKind::Unavailable
    /// [`Redirected`]: crate::TokenErrorKind::Redirected
    /// [`Config`]: crate::TokenErrorKind::Config
    /// [`Malformed`]: crate::TokenErrorKind::Malformed
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); also if it has a query.
    pub fn issuer(issuer: impl Into<String>) -> Result<Self, ConfigError> {
        let issuer = Issuer::new(issuer.into())?;
        Ok(Self(Place::Issuer(Arc::new(issuer))))
    }

    pub(super) fn known(uri: Uri) -> Self {
        Self(Place::Known(uri))
    }
}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match &self.0 {
            Place::Known(uri) => uri.hash(hasher),
            Place::Issuer(issuer) => issuer.name().hash(hasher),
        }
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
        match &self.0 {
            // Not the query, which may hold a key.
            Place::Known(uri) => f
                .debug_struct("Endpoint")
                .field("host", &uri.host())
                .field("path", &uri.path())
                .finish_non_exhaustive(),
            Place::Issuer(issuer) => issuer.fmt(f),
        }
    }
}

/// An endpoint, who asks there, and how.
pub(super) struct TokenEndpoint<T> {
    place: Endpoint,
    pub(super) client: Client,
    limits: Limits,
    pub(super) ending: Option<Ending>,
    /// In a mutex, for a service need not be `Sync`. Held for a clone only.
    transport: Mutex<T>,
}

impl TokenEndpoint<DefaultTransport> {
    pub(super) fn new(place: Endpoint, client: Client) -> Self {
        Self {
            place,
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
            place: self.place,
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
        (&self.place, &self.client).hash(hasher);
    }
}

impl<T: Transport> TokenEndpoint<T> {
    /// Asks for a token with this form. `finish` adds what comes after the
    /// proof of the client, `accepts` judges the answer's `issued_token_type`.
    pub(super) async fn ask<'a>(
        &'a self,
        form: Form<'a>,
        finish: impl FnOnce(Form<'a>) -> Form<'a> + Send,
        accepts: impl Fn(Option<&str>) -> bool + Send,
    ) -> Result<TokenResponse, TokenError> {
        let uri = self.token_uri().await?;
        let form = finish(self.client.prove(form, &uri).await?);
        let read = |answer: &Answer, request: &Outgoing<'_>| {
            let echoes = |text: &str| request.echoes(text);
            response::read(answer, echoes, accepts, SystemTime::now())
        };
        self.post(&uri, "the token endpoint", form, read).await
    }

    /// Posts a whole form to an endpoint of the same server and reads the
    /// answer.
    pub(super) async fn post<R>(
        &self,
        uri: &Uri,
        whom: &'static str,
        form: Form<'_>,
        read: impl FnOnce(&Answer, &Outgoing<'_>) -> Result<R, TokenError>,
    ) -> Result<R, TokenError> {
        let request = Outgoing {
            uri,
            whom,
            authorization: form.authorization(),
            body: Some(form.to_bytes()),
            secrets: &form.secrets(),
        };
        let answer = exchange(self.transport(), &request, self.limits).await?;
        read(&answer, &request)
    }

    /// Where tokens are, and who a client's assertion is for.
    pub(super) async fn token_uri(&self) -> Result<Uri, TokenError> {
        if let Place::Known(uri) = &self.place.0 {
            return Ok(uri.clone());
        }
        let metadata = self.metadata().await?;
        Ok(metadata.map_or_else(Uri::default, |known| {
            let by_certificate = known.mtls_token.as_ref();
            let by_certificate = by_certificate.filter(|_| self.client.auth.is_tls());
            by_certificate.unwrap_or(&known.token).clone()
        }))
    }

    /// What the issuer says of itself, if an issuer was named.
    pub(super) async fn metadata(&self) -> Result<Option<Arc<Metadata>>, TokenError> {
        match &self.place.0 {
            Place::Known(_) => Ok(None),
            Place::Issuer(issuer) => {
                let metadata = issuer.metadata(|| self.transport(), self.limits);
                metadata.await.map(Some)
            }
        }
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

/// The address of an endpoint that is set as `field`. The reason of a refusal
/// never quotes it, for it may hold a password or a key.
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
