//! Where a grant requests tokens.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::Uri;

use crate::error::ConfigError;
use crate::grant::endpoint::discovery::Issuer;
use crate::grant::endpoint::url::{self, EndpointUrl};
use crate::grant::fingerprint::Fingerprint;

/// Token endpoint of a grant: its URL, or an issuer that names it in its metadata.
/// If the URL is known, pass it to the grant itself.
#[derive(Clone)]
pub struct Endpoint(pub(super) Location);

#[derive(Clone)]
pub(super) enum Location {
    Known {
        uri: Uri,
        /// The URL as the user wrote it, which is the audience of assertions.
        written: Arc<str>,
    },
    Issuer(Arc<Issuer>),
}

impl Endpoint {
    /// Creates an endpoint from its URL.
    ///
    /// # Errors
    ///
    /// Fails if the URL is not `https` (plain `http` is accepted for loopback:
    /// `localhost`, 127.0.0.0/8, `[::1]`, and where [`allow_plain_http`] marks it),
    /// or has a user name or a fragment. The error does not quote the URL.
    ///
    /// [`allow_plain_http`]: crate::allow_plain_http
    pub fn new(url: impl EndpointUrl) -> Result<Self, ConfigError> {
        let written = url.text();
        Ok(Self(Location::Known {
            uri: url::parse_as("endpoint", &written, url.allows_plain_http())?,
            written: (*written).into(),
        }))
    }

    /// Creates the endpoint that this issuer names in its metadata.
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
    /// The metadata is requested through the grant's transport before the first
    /// token, at `…/.well-known/openid-configuration` (OpenID Connect Discovery 1.0,
    /// section 4) and, if the server has none there (an error, a redirect, a page, a
    /// document without an issuer), at `/.well-known/oauth-authorization-server…`
    /// (RFC 8414, section 3). For an issuer with a path, a third location follows:
    /// `/.well-known/openid-configuration…`, with the path after it (RFC 8414, section
    /// 5). All clones share the metadata for an hour; if it cannot be requested again
    /// then, the old metadata stays in use.
    ///
    /// [`TokenCache::revoke`] uses its revocation endpoint if the grant has none of
    /// its own and the endpoint is of the issuer's origin; for a Keycloak without
    /// one, its logout endpoint. The issuer is the audience of
    /// [assertions](crate::grant::SignedJwt), as the document writes it.
    ///
    /// No token is requested when the metadata cannot be read or is not accepted:
    ///
    /// | | kind of error |
    /// |---|---|
    /// | the issuer cannot be reached, or not in time | [`Connect`], [`Timeout`], [`Unavailable`], which are transient |
    /// | it redirects, except by 307 or 308 within its origin | [`UnexpectedRedirect`] |
    /// | it has no metadata | [`Config`] |
    /// | the metadata is larger than [`max_response`](crate::grant::Grant::max_response), is not JSON, names another issuer than this string (a last slash apart), or names a token endpoint that [`new`](Self::new) refuses or that is plain http while the issuer is https, or off loopback on another origin than the issuer | [`InvalidResponse`] |
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
    /// Fails as [`new`](Self::new) does, and if the issuer has a query.
    pub fn issuer(issuer: impl EndpointUrl) -> Result<Self, ConfigError> {
        let name = issuer.text().into_owned();
        let issuer = Issuer::new(name, issuer.allows_plain_http())?;
        Ok(Self(Location::Issuer(Arc::new(issuer))))
    }

    /// Returns the URL, or that of the issuer, as text that distinguishes endpoints.
    /// A query may hold a key, so a few bits of its hash replace it.
    pub(in crate::grant) fn name(&self) -> String {
        let url = match &self.0 {
            Location::Known { uri, .. } => uri.to_string(),
            Location::Issuer(issuer) => return issuer.name().to_owned(),
        };
        match url.split_once('?') {
            None => url,
            Some((place, query)) => {
                let mut hasher = Fingerprint::new();
                query.hash(&mut hasher);
                format!("{place}?{:08x}", hasher.finish() as u32)
            }
        }
    }

    pub(in crate::grant) fn known(uri: &'static str) -> Self {
        Self(Location::Known {
            uri: Uri::from_static(uri),
            written: uri.into(),
        })
    }

    /// Returns the URL, if it is known without requesting metadata.
    pub(crate) fn uri(&self) -> Option<&Uri> {
        match &self.0 {
            Location::Known { uri, .. } => Some(uri),
            Location::Issuer(_) => None,
        }
    }
}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match &self.0 {
            Location::Known { uri, .. } => uri.hash(hasher),
            Location::Issuer(issuer) => issuer.name().hash(hasher),
        }
    }
}

/// Token endpoint as grants accept it: an [`EndpointUrl`] or an [`Endpoint`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a token endpoint",
    label = "not a URL or an `Endpoint`",
    note = "a `&str`, `String`, `http::Uri` or `url::Url` is one; for discovery use `Endpoint::issuer(\"https://…\")?`"
)]
pub trait IntoEndpoint: sealed::Convert {}

#[diagnostic::do_not_recommend]
impl<T: sealed::Convert> IntoEndpoint for T {}

mod sealed {
    use super::*;

    pub trait Convert {
        fn into_endpoint(self) -> Result<Endpoint, ConfigError>;
    }

    impl Convert for Endpoint {
        fn into_endpoint(self) -> Result<Endpoint, ConfigError> {
            Ok(self)
        }
    }

    #[diagnostic::do_not_recommend]
    impl<T: EndpointUrl> Convert for T {
        fn into_endpoint(self) -> Result<Endpoint, ConfigError> {
            Endpoint::new(self)
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // Without the query, which may hold a key.
            Location::Known { uri, .. } => f
                .debug_struct("Endpoint")
                .field("host", &uri.host())
                .field("path", &uri.path())
                .finish_non_exhaustive(),
            Location::Issuer(issuer) => issuer.fmt(f),
        }
    }
}
