//! The client credentials grant.

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::endpoint::Endpoint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::transport::DefaultTransport;

/// A client that asks on its own behalf, with no user (RFC 6749, section 4.4).
/// What proves it is its [`ClientAuth`](crate::grant::ClientAuth).
///
/// ```
/// # fn grants() -> Result<(), Box<dyn std::error::Error>> {
/// # let secret = "s";
/// use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, SecretFile};
///
/// let endpoint = "https://auth.example.com/token";
/// let in_the_header = ClientCredentialsGrant::new(endpoint, "billing")?.client_secret(secret);
/// let in_the_form = ClientCredentialsGrant::new(endpoint, "billing")?
///     .client_auth(ClientAuth::client_secret_post(secret))
///     .scope("invoices");
/// let by_kubernetes = ClientCredentialsGrant::new(endpoint, "billing")?
///     .client_auth(ClientAuth::client_assertion(SecretFile::new("/var/run/secrets/tokens/auth")));
/// # let _ = (in_the_header, in_the_form, by_kubernetes); Ok(()) }
/// # grants().unwrap();
/// ```
pub type ClientCredentialsGrant<T = DefaultTransport> = Grant<ClientCredentials, T>;

/// The kind of [`ClientCredentialsGrant`].
#[derive(Debug)]
pub struct ClientCredentials(());

impl Grant<ClientCredentials> {
    /// A grant of the client's own at this token endpoint.
    ///
    /// # Errors
    ///
    /// Those of [`Endpoint::new`].
    pub fn new(
        endpoint: impl TryInto<Endpoint, Error: Into<ConfigError>>,
        client_id: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        let client = Client::new(client_id);
        Ok(Self::of(ClientCredentials(()), endpoint, client))
    }
}

impl GrantType for ClientCredentials {
    const NAME: &'static str = "ClientCredentialsGrant";

    fn grant_type(&self) -> &str {
        "client_credentials"
    }

    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        Ok(form)
    }
}
