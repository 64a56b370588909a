//! The JWT bearer grant.

use std::fmt;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::endpoint::Endpoint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::grant::secret::{self, DynSecretSource, SecretSource};
use crate::transport::DefaultTransport;

/// A signed assertion, exchanged for tokens (RFC 7523, section 2.1). It does
/// not live long, so its [source](SecretSource) is asked for each token
/// request: a [`SignedJwt`](crate::grant::SignedJwt) for one, or a file.
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

/// The kind of [`JwtBearerGrant`].
pub struct JwtBearer {
    assertion: Box<dyn DynSecretSource>,
}

impl Grant<JwtBearer> {
    /// A grant at this token endpoint with what this source yields, for no
    /// client in particular.
    ///
    /// # Errors
    ///
    /// Those of [`Endpoint::new`].
    pub fn new(
        endpoint: impl TryInto<Endpoint, Error: Into<ConfigError>>,
        assertion: impl SecretSource,
    ) -> Result<Self, ConfigError> {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        let assertion = Box::new(assertion);
        Ok(Self::of(
            JwtBearer { assertion },
            endpoint,
            Client::default(),
        ))
    }
}

impl<T> Grant<JwtBearer, T> {
    /// Names the client, where the assertion does not say who asks.
    #[must_use]
    pub fn client_id(self, client_id: impl Into<String>) -> Self {
        self.with_client_id(client_id)
    }
}

impl GrantType for JwtBearer {
    const NAME: &'static str = "JwtBearerGrant";

    fn grant_type(&self) -> &str {
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    }

    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        let assertion = secret::ask(&*self.assertion, "the assertion is empty").await?;
        Ok(form.secret("assertion", assertion))
    }
}

impl fmt::Debug for JwtBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBearer").finish_non_exhaustive()
    }
}
