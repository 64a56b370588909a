//! The source of a user's tokens.

use std::fmt;
use std::hash::Hash;
use std::time::SystemTime;

use http::Uri;

use crate::auth::BearerAuthLayer;
use crate::cache::TokenCache;
use crate::error::{ConfigError, TokenError};
use crate::grant::{Endpoint, Fingerprint, Form, Grant, GrantConfig, GrantType};
use crate::origins::Origins;
use crate::token::TokenResponse;
use crate::transport::{DefaultTransport, EndpointRequest, Transport, send_request};
use crate::voipex::account::{WithAccount, without_token};
use crate::voipex::exchange;

const SERVER: &str = "https://auth.voipex.io";
const FIELD: &str = "authorization_server";

/// Grant of tokens with which a VoIPex API access acts for a user (impersonation), in
/// exchange for the access's own token.
///
/// The access is an account with its own [`TokenCache`], whose token is sent to
/// `https://auth.voipex.io/token-exchange` with the user's login. Any number of
/// users share it, so there is only one login. A token that the exchange rejects is
/// renewed once, and the exchange sent again, as by any
/// [`BearerAuthLayer`](crate::BearerAuthLayer).
///
/// ```
/// # fn example(password: String) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::{PasswordGrant, TokenCache, VoipexImpersonation};
///
/// let access = TokenCache::new(PasswordGrant::voipex("api@company.example", password));
/// let anna = TokenCache::new(VoipexImpersonation::new(access, "anna@company.example"));
/// # let _ = anna; Ok(()) }
/// # #[cfg(feature = "reqwest")]
/// # example("p".into()).unwrap();
/// ```
///
/// For many users, create one for each key of [`Accounts`](crate::accounts) (a
/// feature); the guide `voipex` has a program.
///
/// A refresh token in the response is used for renewals, at the token endpoint and
/// with the client id `api`; without one, or when it is refused, the token is
/// exchanged again. The settings are methods of [`Grant`]:
/// [`transport`](Grant::transport), [`timeout`](Grant::timeout),
/// [`max_response`](Grant::max_response),
/// [`logout_endpoint`](Grant::logout_endpoint) and
/// [`revocation_endpoint`](Grant::revocation_endpoint). A
/// [`scope`](Grant::scope) or a [`param`](Grant::param) becomes a further member of
/// the exchange's JSON.
///
/// # Errors
///
/// VoIPex documents the request, but not the response. Until a real one is known,
/// these are assumed:
///
/// | the exchange answers | the error | concerns |
/// |---|---|---|
/// | a token, as the token endpoint does | none | |
/// | 401, also to a new token of the access | [`Unavailable`] | the access |
/// | 403 | [`Refused`]: the access may not act for this user | this user |
/// | 407, which is a proxy's | [`Connect`](crate::TokenErrorKind::Connect) | all users |
/// | any other 4xx except 408, 425 and 429 | [`Refused`]: there is no such user | this user |
/// | 408, 425, 429, 5xx | [`Unavailable`] | this user |
/// | HTML, or anything else without a token | [`InvalidResponse`] | this user |
///
/// After a refusal the exchange is tried again after 5 seconds, then after twice the
/// pause, up to 15 minutes: no password of a person is sent, so no account is
/// locked. Other users and the access are not affected.
///
/// If the access has no token, for example because its password was refused, the
/// error is a [`Source`] that includes the access's own error: in the message, and
/// from [`TokenError::get_ref`]. Nothing is sent. Users who have a token keep using
/// it, and their refresh tokens.
///
/// An empty login is a [`Config`] error, and nothing is sent.
///
/// [`Config`]: crate::TokenErrorKind::Config
/// [`InvalidResponse`]: crate::TokenErrorKind::InvalidResponse
/// [`Refused`]: crate::TokenErrorKind::Refused
/// [`Source`]: crate::TokenErrorKind::Source
/// [`Unavailable`]: crate::TokenErrorKind::Unavailable
pub type VoipexImpersonation<T = DefaultTransport> = Grant<Impersonation, T>;

/// Kind of [`VoipexImpersonation`].
pub struct Impersonation {
    login: String,
    exchange: Uri,
    /// Sends requests to the exchange with the account's token.
    account: BearerAuthLayer,
}

impl Grant<Impersonation> {
    /// Creates the source of this user's tokens. `account` is the cache of an API
    /// access for which impersonation is enabled, `login` the user's e-mail address.
    pub fn new(account: TokenCache, login: impl Into<String>) -> Self {
        let server = match Server::parse(SERVER) {
            Ok(server) => server,
            Err(error) => unreachable!("the documented server is valid: {error}"),
        };
        Self::at_voipex(Impersonation {
            login: login.into(),
            exchange: server.exchange,
            account: BearerAuthLayer::new(account, server.origins),
        })
    }
}

impl<T> Grant<Impersonation, T> {
    /// Sets the authorization server, whose token endpoint is `/token` and whose
    /// exchange is `/token-exchange`, for example a server for tests. Default:
    /// `https://auth.voipex.io`.
    ///
    /// # Errors
    ///
    /// Fails as [`Origins::only`] does, for example for an origin without scheme or
    /// with a path.
    pub fn authorization_server(mut self, origin: impl AsRef<str>) -> Result<Self, ConfigError> {
        let server = Server::parse(origin.as_ref())?;
        self.kind.exchange = server.exchange;
        self.kind.account = BearerAuthLayer::new(self.kind.account.tokens, server.origins);
        Ok(self.with_endpoint(server.token_endpoint))
    }
}

/// Returns the token endpoint of an authorization server at this origin.
#[cfg(feature = "config")]
pub(crate) fn token_endpoint(origin: &str) -> Result<Endpoint, ConfigError> {
    Server::parse(origin).map(|server| server.token_endpoint)
}

/// An authorization server and its endpoints.
struct Server {
    token_endpoint: Endpoint,
    exchange: Uri,
    origins: Origins,
}

impl Server {
    fn parse(origin: &str) -> Result<Self, ConfigError> {
        let origins = Origins::only([origin])
            .map_err(|error| ConfigError::new(FIELD, error.reason().to_owned()))?;
        let origin = origin.trim_end_matches('/');
        let exchange = Endpoint::new(format!("{origin}/token-exchange"))?;
        let no_url = || ConfigError::new(FIELD, "is not a URL");
        Ok(Self {
            token_endpoint: Endpoint::new(format!("{origin}/token"))?,
            exchange: exchange.uri().cloned().ok_or_else(no_url)?,
            origins,
        })
    }
}

impl GrantType for Impersonation {
    const NAME: &'static str = "VoipexImpersonation";
    const CREDENTIALS: &'static str = exchange::CREDENTIALS;

    /// Returns `refresh_token`: the token endpoint gets nothing else.
    fn grant_type(&self) -> &str {
        "refresh_token"
    }

    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        Ok(form)
    }

    fn hash_credentials(&self, hasher: &mut Fingerprint) {
        let account = &self.account.tokens.shared;
        let account = match account.source.fingerprint() {
            // Its credentials cannot be distinguished from others.
            0 => account.credentials().credentials,
            fingerprint => fingerprint,
        };
        (account, self.exchange.to_string(), &self.login).hash(hasher);
    }

    async fn fetch<T: Transport>(
        &self,
        config: &GrantConfig<T>,
    ) -> Result<TokenResponse, TokenError> {
        let params = config.added_params().await?;
        let body = exchange::body(&self.login, &params)?;
        // First, because that wait has its own deadline.
        let token = self.account.tokens.token().await.map_err(without_token)?;
        let mut secrets = vec![token.secret()];
        secrets.extend(params.iter().map(|(_, value)| value.secret()));
        let request = EndpointRequest {
            uri: &self.exchange,
            endpoint_name: exchange::ENDPOINT_NAME,
            authorization: None,
            body: Some(body),
            secrets: &secrets,
        };
        let transport = WithAccount::new(&self.account, config.transport());
        let response = send_request(transport, &request, config.limits()).await?;
        let (types, now) = (config.token_types(), SystemTime::now());
        let response = exchange::read(&response, &request, &self.login, types, now)?;
        config.observe(&response);
        Ok(response)
    }
}

impl fmt::Debug for Impersonation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Impersonation").finish_non_exhaustive()
    }
}
