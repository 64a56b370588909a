//! Any other grant.

use std::fmt;
use std::hash::{DefaultHasher, Hash};

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::endpoint::Endpoint;
use crate::grant::grant::{Grant, check_name};
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::grant::secret::{DynSecretSource, SecretSource};
use crate::transport::DefaultTransport;

/// What every grant writes the same way.
const RESERVED: [&str; 6] = [
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "grant_type",
    "scope",
];

/// Any grant by its name and members (RFC 6749, section 4.5).
///
/// ```
/// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
/// # fn sign() -> Result<String, std::io::Error> { Ok(String::new()) }
/// use tower_bearer::grant::ExtensionGrant;
///
/// let saml = "urn:ietf:params:oauth:grant-type:saml2-bearer";
/// let grant = ExtensionGrant::new("https://auth.example.com/token", saml)?
///     .client_id("billing")
///     .field("device", "7")?
///     .param_from("assertion", || async { sign() })?;
/// # let _ = grant; Ok(()) }
/// # grant().unwrap();
/// ```
pub type ExtensionGrant<T = DefaultTransport> = Grant<Extension, T>;

/// The kind of [`ExtensionGrant`].
pub struct Extension {
    grant_type: String,
    fields: Vec<(String, Box<dyn DynSecretSource>)>,
}

impl Grant<Extension> {
    /// The grant of this `grant_type` at this token endpoint, for no client in
    /// particular.
    ///
    /// # Errors
    ///
    /// Those of [`Endpoint::new`]; also if the grant's name is empty.
    pub fn new(
        endpoint: impl TryInto<Endpoint, Error: Into<ConfigError>>,
        grant_type: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        let kind = Extension {
            grant_type: grant_type.into(),
            fields: Vec::new(),
        };
        if kind.grant_type.is_empty() {
            return Err(ConfigError::new("grant_type", "is empty"));
        }
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        Ok(Self::of(kind, endpoint, Client::default()))
    }
}

impl<T> Grant<Extension, T> {
    /// Names the client.
    #[must_use]
    pub fn client_id(self, client_id: impl Into<String>) -> Self {
        self.with_client_id(client_id)
    }

    /// Adds a member of the grant's own, before `grant_type`. No error quotes
    /// it.
    ///
    /// # Errors
    ///
    /// If the name is empty or one of `client_id`, `client_secret`,
    /// `client_assertion` and its type, `grant_type`, `scope`.
    pub fn field(
        self,
        name: impl Into<String>,
        value: impl Into<crate::grant::Secret>,
    ) -> Result<Self, ConfigError> {
        self.param_from(name, value.into())
    }

    /// As [`field`](Self::field), from a source that is asked for each token
    /// request.
    ///
    /// # Errors
    ///
    /// As `field`.
    pub fn param_from(
        mut self,
        name: impl Into<String>,
        value: impl SecretSource,
    ) -> Result<Self, ConfigError> {
        let name = name.into();
        check_name(&name, &RESERVED)?;
        self.kind.fields.push((name, Box::new(value)));
        Ok(self)
    }
}

impl GrantType for Extension {
    const NAME: &'static str = "ExtensionGrant";

    fn grant_type(&self) -> &str {
        &self.grant_type
    }

    fn hash_credentials(&self, hasher: &mut DefaultHasher) {
        self.grant_type.hash(hasher);
    }

    async fn add_params<'a>(&'a self, mut form: Form<'a>) -> Result<Form<'a>, TokenError> {
        for (name, source) in &self.fields {
            form = form.secret(name, source.secret().await?);
        }
        Ok(form)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension")
            .field("grant_type", &self.grant_type)
            .finish_non_exhaustive()
    }
}
