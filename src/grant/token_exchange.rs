//! Token exchange.

use std::fmt;
use std::hash::{DefaultHasher, Hash};

use zeroize::Zeroizing;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::endpoint::Endpoint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::grant::secret::{self, DynSecretSource, SecretSource};
use crate::transport::DefaultTransport;

const PREFIX: &str = "urn:ietf:params:oauth:token-type:";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A token, exchanged for another one (RFC 8693): for another audience, or on
/// behalf of somebody. Its [source](SecretSource) is asked for each token
/// request; it can be another cache:
///
/// ```
/// # use tower_bearer::{AccessToken, TokenCache};
/// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
/// # let users = TokenCache::new(AccessToken::new("t")?);
/// # let secret = "s";
/// use tower_bearer::grant::TokenExchangeGrant;
///
/// let subject = move || {
///     let users = users.clone();
///     async move { users.token().await }
/// };
/// let grant = TokenExchangeGrant::new("https://auth.example.com/token", subject)?
///     .client_id("gateway")
///     .client_secret(secret)
///     .audience("billing");
/// # let _ = grant; Ok(()) }
/// # grant().unwrap();
/// ```
///
/// The answer's `issued_token_type` has to be the type that was asked for; if
/// none was, an access token or a JWT. A missing one is let pass. Its
/// `token_type` has to be bearer, for that is how this crate sends it.
///
/// A type of token is a URI; a name without a colon is one of RFC 8693,
/// section 3: `access_token`, `jwt`, `id_token`, `refresh_token`, `saml2`.
pub type TokenExchangeGrant<T = DefaultTransport> = Grant<TokenExchange, T>;

/// The kind of [`TokenExchangeGrant`].
pub struct TokenExchange {
    subject: Box<dyn DynSecretSource>,
    subject_type: String,
    actor: Option<(Box<dyn DynSecretSource>, String)>,
    requested_type: Option<String>,
}

impl Grant<TokenExchange> {
    /// An exchange at this token endpoint of what this source yields: access
    /// tokens, unless [`subject_token_type`](Self::subject_token_type) says
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`Endpoint::new`].
    pub fn new(
        endpoint: impl TryInto<Endpoint, Error: Into<ConfigError>>,
        subject_token: impl SecretSource,
    ) -> Result<Self, ConfigError> {
        let kind = TokenExchange {
            subject: Box::new(subject_token),
            subject_type: ACCESS_TOKEN.to_owned(),
            actor: None,
            requested_type: None,
        };
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        Ok(Self::of(kind, endpoint, Client::default()))
    }
}

impl<T> Grant<TokenExchange, T> {
    /// Names the client.
    #[must_use]
    pub fn client_id(self, client_id: impl Into<String>) -> Self {
        self.with_client_id(client_id)
    }

    /// Sets the type of the subject token.
    #[must_use]
    pub fn subject_token_type(mut self, token_type: impl AsRef<str>) -> Self {
        self.kind.subject_type = uri(token_type.as_ref());
        self
    }

    /// Adds who acts on behalf of the subject, with the type of that token.
    #[must_use]
    pub fn actor_token(
        mut self,
        actor_token: impl SecretSource,
        token_type: impl AsRef<str>,
    ) -> Self {
        self.kind.actor = Some((Box::new(actor_token), uri(token_type.as_ref())));
        self
    }

    /// Sets the type of token to ask for; the server's choice if never set.
    #[must_use]
    pub fn requested_token_type(mut self, token_type: impl AsRef<str>) -> Self {
        self.kind.requested_type = Some(uri(token_type.as_ref()));
        self
    }

    /// Adds the name of a service that the token is for. May be there more than
    /// once.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.push_member("audience".into(), Zeroizing::new(audience.into()));
        self
    }

    /// Adds the address of a service that the token is for. May be there more
    /// than once.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.push_member("resource".into(), Zeroizing::new(resource.into()));
        self
    }
}

/// The URI of a type of token.
fn uri(token_type: &str) -> String {
    let prefix = if token_type.contains(':') { "" } else { PREFIX };
    format!("{prefix}{token_type}")
}

impl GrantType for TokenExchange {
    const NAME: &'static str = "TokenExchangeGrant";

    fn grant_type(&self) -> &str {
        "urn:ietf:params:oauth:grant-type:token-exchange"
    }

    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        let subject = secret::ask(&*self.subject, "the subject token is empty").await?;
        let mut form = form
            .secret("subject_token", subject)
            .public("subject_token_type", &self.subject_type);
        if let Some((actor, actor_type)) = &self.actor {
            let actor = secret::ask(&**actor, "the actor token is empty").await?;
            form = form
                .secret("actor_token", actor)
                .public("actor_token_type", actor_type);
        }
        Ok(form.optional("requested_token_type", self.requested_type.as_deref()))
    }

    fn hash_credentials(&self, hasher: &mut DefaultHasher) {
        (&self.subject_type, &self.requested_type).hash(hasher);
    }

    fn accepts_token_type(&self, issued: Option<&str>) -> bool {
        match (issued, &self.requested_type) {
            (None, _) => true,
            (Some(issued), Some(requested)) => issued == requested,
            (Some(issued), None) => [ACCESS_TOKEN, JWT].contains(&issued),
        }
    }
}

impl fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenExchange")
            .field("subject_token_type", &self.subject_type)
            .field("requested_token_type", &self.requested_type)
            .finish_non_exhaustive()
    }
}
