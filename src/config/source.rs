//! The source described by a configuration.

use std::fmt;

use super::client::{SecretKeys, needed, one_of, only_one, read_file};
use super::rotated_token;
use super::source_config::SourceConfig;
use crate::error::ConfigError;
use crate::grant::{
    ClientCredentialsGrant, Credential, Endpoint, ExtensionGrant, Grant, GrantType, JwtBearerGrant,
    PasswordGrant, RefreshTokenGrant, SecretFile, TokenExchangeGrant,
};
use crate::origins::Origins;
use crate::plain_http::{PlainHttp, allow_plain_http};
use crate::source::{BoxTokenSource, TokenSource};
use crate::token::RefreshToken;
use crate::transport::Transport;

/// URL of an endpoint, which may or may not be plain http off loopback.
enum Url {
    Secure(String),
    Plain(PlainHttp),
}

impl SourceConfig {
    /// Builds the source, with the default transport. Needs the feature `reqwest`.
    ///
    /// # Errors
    ///
    /// Fails if a key is missing, is not used by the grant, or has an invalid value,
    /// or if a file cannot be read. The error names the key and the file; if the
    /// configuration is from the environment, it names a missing variable.
    #[cfg(feature = "reqwest")]
    pub fn source(&self) -> Result<impl TokenSource + fmt::Debug + use<>, ConfigError> {
        self.through(self.default_transport()?)
    }

    /// Builds the source, which sends token requests through this tower service; see
    /// [`transport`](crate::transport).
    ///
    /// # Errors
    ///
    /// Fails as [`source`](Self::source) does, and if a key is set that only the
    /// default transport uses: certificates, a proxy and so on.
    pub fn source_through<T: Transport>(
        &self,
        transport: T,
    ) -> Result<impl TokenSource + fmt::Debug + use<T>, ConfigError> {
        self.check_transport()?;
        self.through(transport)
    }

    fn through<T: Transport>(&self, transport: T) -> Result<BoxTokenSource, ConfigError> {
        self.build(transport).map_err(|e| self.named_variable(e))
    }

    fn build<T: Transport>(&self, transport: T) -> Result<BoxTokenSource, ConfigError> {
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
            "jwt_bearer" => self.finish(self.named(self.jwt_bearer()?), transport),
            "token_exchange" => self.finish(self.token_exchange()?, transport),
            "extension" => {
                self.check_params_of("extension", &["grant_type"])?;
                let name = needed("grant_type", self.grant_type.as_deref())?;
                let grant = self.named(ExtensionGrant::new(self.endpoint()?, name)?);
                self.finish(grant, transport)
            }
            uri if uri.contains(':') => {
                self.check_params_of(uri, &[])?;
                let grant = self.named(ExtensionGrant::new(self.endpoint()?, uri)?);
                self.finish(grant, transport)
            }
            _ => {
                let reason = "is none of `password`, `client_credentials`, \
                              `refresh_token`, `jwt_bearer`, `token_exchange`, `extension`, nor \
                              a URI: the name of another grant goes under `grant_type`, with \
                              `extension`";
                Err(ConfigError::new("grant", reason))
            }
        }
    }

    /// Returns the URL of an endpoint, which may be plain http if its origin is
    /// listed in `allow_plain_http`.
    fn url(&self, url: &str) -> Result<Url, ConfigError> {
        let origins = self.allow_plain_http.iter().flat_map(|list| &list.0);
        let origins: Vec<_> = origins.map(allow_plain_http).collect();
        let is_listed = !origins.is_empty() && {
            let origins = Origins::only(origins)
                .map_err(|e| ConfigError::new("allow_plain_http", e.reason().to_owned()))?;
            // The URL as it is requested: `http` reads no international host name.
            let requested = url::Url::parse(url).map(|url| url.as_str().parse());
            matches!(requested, Ok(Ok(uri)) if origins.permit(&uri))
        };
        Ok(match is_listed {
            true => Url::Plain(allow_plain_http(url)),
            false => Url::Secure(url.to_owned()),
        })
    }

    fn needed_grant(&self) -> Result<&str, ConfigError> {
        self.grant
            .as_deref()
            .ok_or_else(|| one_of("grant", "preset"))
    }

    fn endpoint(&self) -> Result<Endpoint, ConfigError> {
        match (&self.token_endpoint, &self.issuer) {
            (Some(url), None) => match self.url(url)? {
                Url::Secure(url) => Endpoint::new(url),
                Url::Plain(url) => Endpoint::new(url),
            }
            // Named after the key, because there are other endpoints.
            .map_err(|e| ConfigError::new("token_endpoint", e.reason().to_owned())),
            (None, Some(issuer)) => match self.url(issuer)? {
                Url::Secure(issuer) => Endpoint::issuer(issuer),
                Url::Plain(issuer) => Endpoint::issuer(issuer),
            },
            (Some(_), Some(_)) => Err(only_one("issuer", "token_endpoint")),
            (None, None) => Err(one_of("token_endpoint", "issuer")),
        }
    }

    pub(super) fn user(&self) -> Result<(&str, Credential), ConfigError> {
        let password = SecretKeys {
            name: "password",
            value: &self.password,
            file_name: "password_file",
            file: &self.password_file,
        };
        let password = password.needed(password.credential()?)?;
        let username = needed("username", self.username.as_deref())?;
        Ok((username, password))
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
                let token = SecretKeys {
                    name: "refresh_token",
                    value: &self.refresh_token,
                    file_name: "refresh_token_file",
                    file: &self.refresh_token_file,
                };
                token.needed(token.read()?)?
            }
        };
        let token = RefreshToken::new(token.secret())
            .map_err(|e| ConfigError::new("refresh_token", e.to_string()))?;
        let id = self.needed_client_id()?;
        let grant = RefreshTokenGrant::new(self.endpoint()?, id, token)?;
        rotated.map(rotated_token::check).transpose()?;
        Ok(match self.rotated_token_file.clone() {
            Some(path) => grant.on_rotation(move |token| rotated_token::write(path.clone(), token)),
            None => grant,
        })
    }

    fn jwt_bearer(&self) -> Result<JwtBearerGrant, ConfigError> {
        let keys = SecretKeys {
            name: "assertion",
            value: &self.assertion,
            file_name: "assertion_file",
            file: &self.assertion_file,
        };
        self.check_params_of("jwt_bearer", &["assertion", "assertion_file"])?;
        match keys.source()? {
            Some(assertion) => JwtBearerGrant::new(self.endpoint()?, assertion),
            None => self.signed_jwt_bearer(),
        }
    }

    /// Returns the grant whose assertion the configured key signs.
    fn signed_jwt_bearer(&self) -> Result<JwtBearerGrant, ConfigError> {
        if self.private_key.is_none() && self.private_key_file.is_none() {
            return Err(one_of("assertion_file", "private_key"));
        }
        let jwt = self.signed_jwt()?;
        #[cfg(feature = "private-key-jwt")]
        let jwt = {
            let issuer = needed("assertion_issuer", self.assertion_issuer.as_ref())?;
            let audience = needed("assertion_audience", self.assertion_audience.as_ref())?;
            self.with_claims(jwt.issuer(issuer).audience(audience))
        };
        JwtBearerGrant::new(self.endpoint()?, jwt)
    }

    fn token_exchange(&self) -> Result<TokenExchangeGrant, ConfigError> {
        let used = [
            "subject_token",
            "subject_token_file",
            "subject_token_type",
            "actor_token",
            "actor_token_file",
            "actor_token_type",
            "requested_token_type",
        ];
        self.check_params_of("token_exchange", &used)?;
        let subject = SecretKeys {
            name: "subject_token",
            value: &self.subject_token,
            file_name: "subject_token_file",
            file: &self.subject_token_file,
        };
        let subject = needed("subject_token_file", subject.source()?)?;
        let grant = TokenExchangeGrant::new(self.endpoint()?, subject)?;
        let mut grant = self.named(grant);
        if let Some(token_type) = &self.subject_token_type {
            grant = grant.subject_token_type(token_type);
        }
        let actor = SecretKeys {
            name: "actor_token",
            value: &self.actor_token,
            file_name: "actor_token_file",
            file: &self.actor_token_file,
        };
        grant = match (actor.source()?, &self.actor_token_type) {
            (Some(actor), Some(token_type)) => grant.actor_token(actor, token_type),
            (None, None) => grant,
            (Some(_), None) => needed("actor_token_type", None)?,
            (None, Some(_)) => needed("actor_token_file", None)?,
        };
        if let Some(token_type) = &self.requested_token_type {
            grant = grant.requested_token_type(token_type);
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
    ) -> Result<BoxTokenSource, ConfigError> {
        for (name, value) in self.params.iter().flat_map(|table| &table.0) {
            grant = grant.param(name, value.0.clone())?;
        }
        for (name, path) in self.param_files.iter().flat_map(|table| &table.0) {
            let params = self.params.as_ref().map(|table| &table.0);
            if params.is_some_and(|it| it.contains_key(name)) {
                return Err(only_one("param_files", "params"));
            }
            read_file("param_files", path)?;
            grant = grant.param_from(name, SecretFile::new(path))?;
        }
        grant = grant.client_auth(self.client_auth()?);
        if let Some(scope) = &self.scope {
            grant = grant.scope(scope.0.join(" "));
        }
        for audience in self.audience.iter().flat_map(|words| &words.0) {
            grant = grant.audience(audience);
        }
        for resource in self.resource.iter().flat_map(|words| &words.0) {
            grant = grant.resource(resource);
        }
        for token_type in self.accept_token_type.iter().flat_map(|list| &list.0) {
            grant = grant.accept_token_type(token_type)?;
        }
        self.finish_without_params(grant, transport)
    }

    /// Applies the settings that do not concern the credentials.
    pub(super) fn finish_without_params<K: GrantType>(
        &self,
        mut grant: Grant<K>,
        transport: impl Transport,
    ) -> Result<BoxTokenSource, ConfigError> {
        if let Some(timeout) = &self.timeout {
            grant = grant.timeout(timeout.0)?;
        }
        if let Some(bytes) = &self.max_response {
            grant = grant.max_response(bytes.0)?;
        }
        match (&self.logout_endpoint, &self.revocation_endpoint) {
            (Some(_), Some(_)) => return Err(only_one("revocation_endpoint", "logout_endpoint")),
            (Some(url), None) => {
                grant = match self.url(url)? {
                    Url::Secure(url) => grant.logout_endpoint(url),
                    Url::Plain(url) => grant.logout_endpoint(url),
                }?;
            }
            (None, Some(url)) => {
                grant = match self.url(url)? {
                    Url::Secure(url) => grant.revocation_endpoint(url),
                    Url::Plain(url) => grant.revocation_endpoint(url),
                }?;
            }
            (None, None) => {}
        }
        Ok(BoxTokenSource::new(grant.transport(transport)))
    }
}
