//! The JWT bearer grant.

use std::fmt;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::endpoint::IntoEndpoint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::grant::secret::{self, DynSecretSource, SecretSource};
use crate::transport::DefaultTransport;

/// Grant that exchanges a signed assertion for tokens (RFC 7523, section 2.1).
///
/// An assertion is short-lived, so its [source](SecretSource) is called for each
/// token request: a [`SignedJwt`](crate::grant::SignedJwt) signs one, a
/// [`SecretFile`](crate::grant::SecretFile) reads one. The settings are
/// [`client_id`](Grant::client_id) and the methods of [`Grant`].
///
/// ```
/// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::grant::{JwtBearerGrant, SecretFile};
///
/// let mounted = SecretFile::new("/var/run/secrets/tokens/auth");
/// let grant = JwtBearerGrant::new("https://auth.example.com/token", mounted)?
///     .client_id("billing")
///     .scope("invoices");
/// # let _ = grant; Ok(()) }
/// # grant().unwrap();
/// ```
pub type JwtBearerGrant<T = DefaultTransport> = Grant<JwtBearer, T>;

/// Kind of [`JwtBearerGrant`].
pub struct JwtBearer {
    assertion: Box<dyn DynSecretSource>,
}

impl Grant<JwtBearer> {
    /// Creates a JWT bearer grant at a token endpoint, using assertions from this
    /// source, without a client id.
    ///
    /// # Errors
    ///
    /// Fails as [`Endpoint::new`](crate::grant::Endpoint::new) does.
    pub fn new(
        endpoint: impl IntoEndpoint,
        assertion: impl SecretSource,
    ) -> Result<Self, ConfigError> {
        let assertion = Box::new(assertion);
        let endpoint = endpoint.into_endpoint()?;
        Ok(Self::of(
            JwtBearer { assertion },
            endpoint,
            Client::default(),
        ))
    }
}

impl<T> Grant<JwtBearer, T> {
    /// Sets the client id, for servers that do not read it from the assertion.
    #[must_use]
    pub fn client_id(self, client_id: impl Into<String>) -> Self {
        self.with_client_id(client_id)
    }
}

impl GrantType for JwtBearer {
    const NAME: &'static str = "JwtBearerGrant";
    const CREDENTIALS: &'static str = "assertion";

    fn grant_type(&self) -> &str {
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    }

    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        let assertion = secret::ask(&*self.assertion, "the assertion is empty").await?;
        Ok(form.secret("assertion", assertion))
    }

    fn sources(&self) -> Vec<&dyn DynSecretSource> {
        vec![&*self.assertion]
    }
}

impl fmt::Debug for JwtBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBearer").finish_non_exhaustive()
    }
}
