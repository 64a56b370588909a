//! The client credentials grant.

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::endpoint::IntoEndpoint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::transport::DefaultTransport;

/// Grant for the client itself, without a user (RFC 6749, section 4.4).
///
/// The settings are methods of [`Grant`]: how the client authenticates
/// ([`client_secret`](Grant::client_secret) or
/// [`client_auth`](Grant::client_auth), with a
/// [`ClientAuth`](crate::grant::ClientAuth)), [`scope`](Grant::scope),
/// [`param`](Grant::param), [`timeout`](Grant::timeout),
/// [`max_response`](Grant::max_response),
/// [`logout_endpoint`](Grant::logout_endpoint),
/// [`revocation_endpoint`](Grant::revocation_endpoint) and
/// [`transport`](Grant::transport).
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
///
/// An empty client id is an error of the kind
/// [`Config`](crate::TokenErrorKind::Config) when a token is requested.
pub type ClientCredentialsGrant<T = DefaultTransport> = Grant<ClientCredentials, T>;

/// Kind of [`ClientCredentialsGrant`].
#[derive(Debug)]
pub struct ClientCredentials(());

impl Grant<ClientCredentials> {
    /// Creates a client credentials grant at a token endpoint: its URL, or an
    /// [`Endpoint`](crate::grant::Endpoint).
    ///
    /// # Errors
    ///
    /// Fails as [`Endpoint::new`](crate::grant::Endpoint::new) does.
    pub fn new(
        endpoint: impl IntoEndpoint,
        client_id: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        let endpoint = endpoint.into_endpoint()?;
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
