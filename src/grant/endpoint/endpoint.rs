//! Where a grant asks.

use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::Uri;

use crate::error::ConfigError;
use crate::grant::endpoint::discovery::Issuer;
use crate::grant::endpoint::url::parse_as;

/// Where a grant asks for tokens: a token endpoint's address, for which a text
/// will do as well, or an issuer that names it.
#[derive(Clone)]
pub struct Endpoint(pub(super) Location);

#[derive(Clone)]
pub(super) enum Location {
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
    /// | it redirects, except by 307 or 308 within its origin | [`UnexpectedRedirect`] |
    /// | there is none | [`Config`] |
    /// | it is larger than [`max_response`](crate::grant::Grant::max_response), not JSON, names another issuer than exactly this text, or a token endpoint against the rules of [`new`](Self::new) or in plain http for an issuer in https | [`InvalidResponse`] |
    ///
    /// [`TokenCache::revoke`]: crate::TokenCache::revoke
    /// [`Connect`]: crate::TokenErrorKind::Connect
    /// [`Timeout`]: crate::TokenErrorKind::Timeout
    /// [`Unavailable`]: crate::TokenErrorKind::Unavailable
    /// [`UnexpectedRedirect`]: crate::TokenErrorKind::UnexpectedRedirect
    /// [`Config`]: crate::TokenErrorKind::Config
    /// [`InvalidResponse`]: crate::TokenErrorKind::InvalidResponse
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); also if it has a query.
    pub fn issuer(issuer: impl Into<String>) -> Result<Self, ConfigError> {
        let issuer = Issuer::new(issuer.into())?;
        Ok(Self(Location::Issuer(Arc::new(issuer))))
    }

    pub(in crate::grant) fn known(uri: Uri) -> Self {
        Self(Location::Known(uri))
    }
}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match &self.0 {
            Location::Known(uri) => uri.hash(hasher),
            Location::Issuer(issuer) => issuer.name().hash(hasher),
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
            Location::Known(uri) => f
                .debug_struct("Endpoint")
                .field("host", &uri.host())
                .field("path", &uri.path())
                .finish_non_exhaustive(),
            Location::Issuer(issuer) => issuer.fmt(f),
        }
    }
}
