//! The source that a configuration describes.

use std::fmt;
use std::path::PathBuf;

use super::client::{needed, only_one, secret};
use super::rotated_token;
use super::source_config::SourceConfig;
use crate::error::{ConfigError, TokenError};
use crate::grant::{
    ClientCredentialsGrant, Endpoint, ExtensionGrant, Grant, GrantType, JwtBearerGrant,
    PasswordGrant, RefreshTokenGrant, SecretFile, TokenExchangeGrant,
};
use crate::source::{DynTokenSource, TokenSource};
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::Transport;

/// The source that a configuration describes, whatever its grant.
pub(super) struct ConfiguredSource(Box<dyn DynTokenSource>);

impl SourceConfig {
    /// Builds the source, with the default transport. Needs the feature
    /// `reqwest`.
    ///
    /// # Errors
    ///
    /// Fails if a key is missing, is not used by the grant, or has a value that
    /// is refused; or if a file cannot be read. The error names the key and the
    /// file.
    #[cfg(feature = "reqwest")]
    pub fn source(&self) -> Result<impl TokenSource + fmt::Debug + use<>, ConfigError> {
        self.through(self.default_transport()?)
    }

    #[cfg(feature = "reqwest")]
    fn default_transport(&self) -> Result<crate::transport::DefaultTransport, ConfigError> {
        let mut transport = crate::transport::DefaultTransport::new();
        for (name, file) in self.certificates() {
            let Some(pem) = secret((name, &None), (name, file))? else {
                continue;
            };
            transport = match name {
                "client_certificate_file" => transport.client_certificate(pem.secret()),
                _ => transport.root_certificates(pem.secret()),
            }?;
        }
        Ok(transport)
    }

    fn certificates(&self) -> [(&'static str, &Option<PathBuf>); 2] {
        [
            ("client_certificate_file", &self.client_certificate_file),
            ("root_certificates_file", &self.root_certificates_file),
        ]
    }

    /// Builds the source, which sends token requests through this tower
    /// service; see [`transport`](crate::transport).
    ///
    /// # Errors
    ///
    /// Fails as [`source`](Self::source) does; also if certificates are set,
    /// which only the default transport uses.
    pub fn source_through<T: Transport>(
        &self,
        transport: T,
    ) -> Result<impl TokenSource + fmt::Debug + use<T>, ConfigError> {
        let mut certificates = self.certificates().into_iter();
        match certificates.find(|(_, file)| file.is_some()) {
            None => self.through(transport),
            Some((name, _)) => {
                let reason = "is used by the default transport only";
                Err(ConfigError::new(name, reason))
            }
        }
    }

    fn through<T: Transport>(&self, transport: T) -> Result<ConfiguredSource, ConfigError> {
        if self.preset.is_some() {
            return self.of_preset(transport);
        }
        match self.needed_grant()? {
            "password" => {
                self.check_params_of("password", &["username", "password", "password_file"])?;
                let (username, password) = self.user()?;
                let id = self.needed_client_id()?;
                let grant = PasswordGrant::new(self.endpoint()?, id, username, password)?;
                self.finish(grant, transport)
            }
            "client_credentials" => {
                self.check_params_of("client_credentials", &[])?;
                let id = self.needed_client_id()?;
                let grant = ClientCredentialsGrant::new(self.endpoint()?, id)?;
                self.finish(grant, transport)
            }
            "refresh_token" => self.finish(self.refresh_token()?, transport),
            "jwt_bearer" => {
                self.check_params_of("jwt_bearer", &["assertion_file"])?;
                let file = needed("assertion_file", self.assertion_file.as_ref())?;
                let grant = JwtBearerGrant::new(self.endpoint()?, SecretFile::new(file))?;
                self.finish(self.named(grant), transport)
            }
            "token_exchange" => self.finish(self.token_exchange()?, transport),
            uri if uri.contains(':') => {
                self.check_params_of(uri, &[])?;
                let grant = self.named(ExtensionGrant::new(self.endpoint()?, uri)?);
                self.finish(grant, transport)
            }
            _ => {
                let reason = "is none of `password`, `client_credentials`, `refresh_token`, \
                              `jwt_bearer`, `token_exchange`, nor a URI";
                Err(ConfigError::new("grant", reason))
            }
        }
    }

    fn needed_grant(&self) -> Result<&str, ConfigError> {
        self.grant.as_deref().ok_or_else(|| {
            let reason = "is missing, and so is `preset`: set one of them";
            ConfigError::new("grant", reason)
        })
    }

    fn endpoint(&self) -> Result<Endpoint, ConfigError> {
        match (&self.token_endpoint, &self.issuer) {
            (Some(url), None) => Endpoint::new(url),
            (None, Some(issuer)) => Endpoint::issuer(issuer),
            (Some(_), Some(_)) => Err(only_one("issuer", "token_endpoint")),
            (None, None) => {
                let reason = "is missing, and so is `issuer`: set one of them";
                Err(ConfigError::new("token_endpoint", reason))
            }
        }
    }

    pub(super) fn user(&self) -> Result<(&str, String), ConfigError> {
        let (password, file) = (&self.password, &self.password_file);
        let password = secret(("password", password), ("password_file", file))?;
        let password = needed("password", password)?;
        let username = needed("username", self.username.as_deref())?;
        Ok((username, password.secret().to_owned()))
    }

    fn needed_client_id(&self) -> Result<&str, ConfigError> {
        needed("client_id", self.client_id.as_deref())
    }

    fn refresh_token(&self) -> Result<RefreshTokenGrant, ConfigError> {
        let used = ["refresh_token", "refresh_token_file", "rotated_token_file"];
        self.check_params_of("refresh_token", &used)?;
        let rotated = self.rotated_token_file.as_deref();
        let token = match rotated.map(rotated_token::read).transpose()?.flatten() {
            Some(token) => token,
            None => {
                let (token, file) = (&self.refresh_token, &self.refresh_token_file);
                let token = secret(("refresh_token", token), ("refresh_token_file", file))?;
                needed("refresh_token", token)?
            }
        };
        let token = RefreshToken::new(token.secret())
            .map_err(|e| ConfigError::new("refresh_token", e.to_string()))?;
        let id = self.needed_client_id()?;
        let grant = RefreshTokenGrant::new(self.endpoint()?, id, token)?;
        Ok(match self.rotated_token_file.clone() {
            Some(path) => grant.on_rotation(move |token| rotated_token::write(path.clone(), token)),
            None => grant,
        })
    }

    fn token_exchange(&self) -> Result<TokenExchangeGrant, ConfigError> {
        let used = [
            "subject_token_file",
            "subject_token_type",
            "actor_token_file",
            "actor_token_type",
            "requested_token_type",
            "audience",
            "resource",
        ];
        self.check_params_of("token_exchange", &used)?;
        let file = needed("subject_token_file", self.subject_token_file.as_ref())?;
        let grant = TokenExchangeGrant::new(self.endpoint()?, SecretFile::new(file))?;
        let mut grant = self.named(grant);
        if let Some(token_type) = &self.subject_token_type {
            grant = grant.subject_token_type(token_type);
        }
        grant = match (&self.actor_token_file, &self.actor_token_type) {
            (Some(file), Some(token_type)) => grant.actor_token(SecretFile::new(file), token_type),
            (None, None) => grant,
            (Some(_), None) => needed("actor_token_type", None)?,
            (None, Some(_)) => needed("actor_token_file", None)?,
        };
        if let Some(token_type) = &self.requested_token_type {
            grant = grant.requested_token_type(token_type);
        }
        for audience in self.audience.iter().flat_map(|words| &words.0) {
            grant = grant.audience(audience);
        }
        for resource in self.resource.iter().flat_map(|words| &words.0) {
            grant = grant.resource(resource);
        }
        Ok(grant)
    }

    /// Sets the client id of a grant that does not require one.
    fn named<K>(&self, grant: Grant<K>) -> Grant<K> {
        match &self.client_id {
            Some(id) => grant.with_client_id(id),
            None => grant,
        }
    }

    pub(super) fn finish<K: GrantType>(
        &self,
        mut grant: Grant<K>,
        transport: impl Transport,
    ) -> Result<ConfiguredSource, ConfigError> {
        for (name, value) in self.params.iter().flatten() {
            grant = grant.param(name, value.0.clone())?;
        }
        grant = grant.client_auth(self.client_auth()?);
        if let Some(scope) = &self.scope {
            grant = grant.scope(scope.0.join(" "));
        }
        self.finish_without_params(grant, transport)
    }

    /// Sets what has nothing to do with the credentials.
    pub(super) fn finish_without_params<K: GrantType>(
        &self,
        mut grant: Grant<K>,
        transport: impl Transport,
    ) -> Result<ConfiguredSource, ConfigError> {
        if let Some(timeout) = &self.timeout {
            grant = grant.timeout(timeout.0)?;
        }
        if let Some(bytes) = &self.max_response {
            grant = grant.max_response(bytes.0)?;
        }
        match (&self.logout_endpoint, &self.revocation_endpoint) {
            (Some(_), Some(_)) => return Err(only_one("revocation_endpoint", "logout_endpoint")),
            (Some(url), None) => grant = grant.logout_endpoint(url)?,
            (None, Some(url)) => grant = grant.revocation_endpoint(url)?,
            (None, None) => {}
        }
        Ok(ConfiguredSource(Box::new(grant.transport(transport))))
    }
}

impl TokenSource for ConfiguredSource {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.0.fetch().await
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.0.refresh(refresh_token).await
    }

    fn fingerprint(&self) -> u64 {
        self.0.fingerprint()
    }

    fn local_fingerprint(&self) -> u64 {
        self.0.local_fingerprint()
    }

    fn endpoint(&self) -> u64 {
        self.0.endpoint()
    }

    fn may_lock(&self) -> bool {
        self.0.may_lock()
    }

    async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        self.0.revoke(access_token, refresh_token).await
    }
}

impl fmt::Debug for ConfiguredSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfiguredSource").finish_non_exhaustive()
    }
}
