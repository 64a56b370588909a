//! The extension grant: any grant, by its name.

use std::hash::Hash;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::endpoint::IntoEndpoint;
use crate::grant::fingerprint::Fingerprint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::transport::DefaultTransport;

/// Any grant, given by its name and parameters (RFC 6749, section 4.5).
///
/// Its parameters are those added with [`param`](Grant::param) and
/// [`param_from`](Grant::param_from), in that order and before `grant_type`. The
/// other settings are [`client_id`](Grant::client_id) and the methods of [`Grant`].
///
/// ```
/// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
/// # fn sign() -> Result<String, std::io::Error> { Ok(String::new()) }
/// use tower_bearer::grant::ExtensionGrant;
///
/// let saml = "urn:ietf:params:oauth:grant-type:saml2-bearer";
/// let grant = ExtensionGrant::new("https://auth.example.com/token", saml)?
///     .client_id("billing")
///     .param("device", "7")?
///     .param_from("assertion", || async { sign() })?;
/// # let _ = grant; Ok(()) }
/// # grant().unwrap();
/// ```
pub type ExtensionGrant<T = DefaultTransport> = Grant<Extension, T>;

/// Kind of [`ExtensionGrant`].
#[derive(Debug)]
pub struct Extension {
    grant_type: String,
}

impl Grant<Extension> {
    /// Creates the grant of this `grant_type` at a token endpoint, without a
    /// client id.
    ///
    /// # Errors
    ///
    /// Fails as [`Endpoint::new`](crate::grant::Endpoint::new) does, and if
    /// `grant_type` is empty.
    pub fn new(
        endpoint: impl IntoEndpoint,
        grant_type: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        let grant_type = grant_type.into();
        if grant_type.is_empty() {
            return Err(ConfigError::new("grant_type", "is empty"));
        }
        let endpoint = endpoint.into_endpoint()?;
        Ok(Self::of(
            Extension { grant_type },
            endpoint,
            Client::default(),
        ))
    }
}

impl<T> Grant<Extension, T> {
    /// Sets the client id.
    #[must_use]
    pub fn client_id(self, client_id: impl Into<String>) -> Self {
        self.with_client_id(client_id)
    }
}

impl GrantType for Extension {
    const NAME: &'static str = "ExtensionGrant";

    /// The parameters that every grant writes the same way.
    const RESERVED: &'static [&'static str] = &[
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "grant_type",
        "scope",
    ];

    const PARAMS_BEFORE_GRANT_TYPE: bool = true;

    fn grant_type(&self) -> &str {
        &self.grant_type
    }

    fn hash_credentials(&self, hasher: &mut Fingerprint) {
        self.grant_type.hash(hasher);
    }

    /// Adds nothing: the parameters are those that the user added.
    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        Ok(form)
    }
}
