//! The token exchange grant.

use std::fmt;
use std::hash::Hash;

use crate::error::{ConfigError, TokenError};
use crate::grant::client::Client;
use crate::grant::endpoint::IntoEndpoint;
use crate::grant::fingerprint::Fingerprint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::grant::secret::{self, DynSecretSource, SecretSource};
use crate::transport::DefaultTransport;

const PREFIX: &str = "urn:ietf:params:oauth:token-type:";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Grant that exchanges a token for another one (RFC 8693): for another audience, or
/// on behalf of a user.
///
/// The [source](SecretSource) of the subject token is called for each token request;
/// it can be another cache. The settings are
/// [`client_id`](Grant::client_id),
/// [`subject_token_type`](Grant::subject_token_type),
/// [`actor_token`](Grant::actor_token),
/// [`requested_token_type`](Grant::requested_token_type),
/// [`audience`](Grant::audience), [`resource`](Grant::resource) and the methods
/// of [`Grant`].
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
/// A token type is a URI, or the short name of one of RFC 8693, section 3:
/// `access_token`, `jwt`, `id_token`, `refresh_token`, `saml2`.
///
/// The response's `issued_token_type` must be the requested type; if none or an
/// access token was requested, an access token or a JWT. A missing value is
/// accepted. Its `token_type` must be bearer, because that is how this crate sends
/// tokens, or one that [`accept_token_type`](Grant::accept_token_type) names.
pub type TokenExchangeGrant<T = DefaultTransport> = Grant<TokenExchange, T>;

/// Kind of [`TokenExchangeGrant`].
pub struct TokenExchange {
    subject: Box<dyn DynSecretSource>,
    subject_type: String,
    actor: Option<(Box<dyn DynSecretSource>, String)>,
    requested_type: Option<String>,
}

impl Grant<TokenExchange> {
    /// Creates a token exchange at a token endpoint, using subject tokens from
    /// this source: access tokens, unless
    /// [`subject_token_type`](Self::subject_token_type) is set.
    ///
    /// # Errors
    ///
    /// Fails as [`Endpoint::new`](crate::grant::Endpoint::new) does.
    pub fn new(
        endpoint: impl IntoEndpoint,
        subject_token: impl SecretSource,
    ) -> Result<Self, ConfigError> {
        let kind = TokenExchange {
            subject: Box::new(subject_token),
            subject_type: ACCESS_TOKEN.to_owned(),
            actor: None,
            requested_type: None,
        };
        let endpoint = endpoint.into_endpoint()?;
        Ok(Self::of(kind, endpoint, Client::default()))
    }
}

impl<T> Grant<TokenExchange, T> {
    /// Sets the client id.
    #[must_use]
    pub fn client_id(self, client_id: impl Into<String>) -> Self {
        self.with_client_id(client_id)
    }

    /// Sets the type of the subject token. Default: `access_token`.
    #[must_use]
    pub fn subject_token_type(mut self, token_type: impl AsRef<str>) -> Self {
        self.kind.subject_type = uri(token_type.as_ref());
        self
    }

    /// Sets the source of the actor token, which identifies who acts on behalf of
    /// the subject, and its type.
    #[must_use]
    pub fn actor_token(
        mut self,
        actor_token: impl SecretSource,
        token_type: impl AsRef<str>,
    ) -> Self {
        self.kind.actor = Some((Box::new(actor_token), uri(token_type.as_ref())));
        self
    }

    /// Sets the type of token to request. Default: the server's choice.
    #[must_use]
    pub fn requested_token_type(mut self, token_type: impl AsRef<str>) -> Self {
        self.kind.requested_type = Some(uri(token_type.as_ref()));
        self
    }
}

/// Returns the URI of a token type.
fn uri(token_type: &str) -> String {
    let prefix = if token_type.contains(':') { "" } else { PREFIX };
    format!("{prefix}{token_type}")
}

impl GrantType for TokenExchange {
    const NAME: &'static str = "TokenExchangeGrant";
    const CREDENTIALS: &'static str = "subject token or actor token";

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

    fn sources(&self) -> Vec<&dyn DynSecretSource> {
        let actor = self.actor.iter().map(|(actor, _)| &**actor);
        [&*self.subject].into_iter().chain(actor).collect()
    }

    fn hash_credentials(&self, hasher: &mut Fingerprint) {
        let actor_type = self.actor.as_ref().map(|(_, actor_type)| actor_type);
        (&self.subject_type, actor_type, &self.requested_type).hash(hasher);
    }

    fn accepts_token_type(&self, issued: Option<&str>) -> bool {
        match (issued, &self.requested_type) {
            (None, _) => true,
            (Some(issued), Some(requested)) => {
                // An access token that is a JWT (RFC 8693, section 3).
                issued == requested || (requested == ACCESS_TOKEN && issued == JWT)
            }
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
