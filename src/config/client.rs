//! How the client of a configuration authenticates.

use std::path::PathBuf;

use super::source_config::SourceConfig;
use super::values::Secret;
use crate::error::ConfigError;
use crate::grant::{self, ClientAuth, SecretFile};

/// Returns the secret that one key holds, or that is in the file named by the
/// other key.
pub(super) fn secret(
    (name, secret): (&'static str, &Option<Secret>),
    (file_name, file): (&'static str, &Option<PathBuf>),
) -> Result<Option<grant::Secret>, ConfigError> {
    match (secret, file) {
        (Some(_), Some(_)) => Err(only_one(file_name, name)),
        (Some(Secret(secret)), None) => Ok(Some(secret.clone())),
        (None, Some(path)) => match SecretFile::new(path).read() {
            Ok(secret) => Ok(Some(secret)),
            Err(error) => {
                let reason = format!("{}: {error}", path.display());
                Err(ConfigError::new(file_name, reason))
            }
        },
        (None, None) => Ok(None),
    }
}

/// Returns the value of a key that is required.
pub(super) fn needed<T>(name: &'static str, value: Option<T>) -> Result<T, ConfigError> {
    value.ok_or_else(|| ConfigError::new(name, "is missing"))
}

/// The error of two keys of which only one may be set.
pub(super) fn only_one(name: &'static str, other: &'static str) -> ConfigError {
    ConfigError::new(name, format!("conflicts with `{other}`: set only one"))
}

impl SourceConfig {
    pub(super) fn client_auth(&self) -> Result<ClientAuth, ConfigError> {
        let secret = secret(
            ("client_secret", &self.client_secret),
            ("client_secret_file", &self.client_secret_file),
        )?;
        let has_key = self.private_key.is_some() || self.private_key_file.is_some();
        let assertion = &self.client_assertion_file;
        let method = self.client_auth.as_deref().unwrap_or(match () {
            () if secret.is_some() => "client_secret_basic",
            () if has_key => "private_key_jwt",
            () if assertion.is_some() => "client_assertion",
            () => "none",
        });
        let of_secret = &["client_secret_basic", "client_secret_post"] as &[_];
        let (of_key, of_assertion) = (&["private_key_jwt"], &["client_assertion"]);
        let has_audience = self.assertion_audience.is_some();
        for (name, is_set, methods) in [
            ("client_secret", secret.is_some(), of_secret),
            ("private_key", has_key, of_key),
            ("key_id", self.key_id.is_some(), of_key),
            ("assertion_audience", has_audience, of_key),
            ("client_assertion_file", assertion.is_some(), of_assertion),
        ] {
            if is_set && !methods.contains(&method) {
                let reason =
                    "is not used by this method of client authentication: see `client_auth`";
                return Err(ConfigError::new(name, reason));
            }
        }
        match method {
            "none" => Ok(ClientAuth::none()),
            "tls_client_auth" => Ok(ClientAuth::tls_client_auth()),
            "client_secret_basic" => {
                needed("client_secret", secret).map(ClientAuth::client_secret_basic)
            }
            "client_secret_post" => {
                needed("client_secret", secret).map(ClientAuth::client_secret_post)
            }
            "client_assertion" => needed("client_assertion_file", assertion.as_ref())
                .map(|path| ClientAuth::client_assertion(SecretFile::new(path))),
            "private_key_jwt" => self.private_key_jwt(),
            _ => {
                let reason = "is none of `none`, `client_secret_basic`, `client_secret_post`, \
                              `private_key_jwt`, `client_assertion`, `tls_client_auth`";
                Err(ConfigError::new("client_auth", reason))
            }
        }
    }

    #[cfg(feature = "private-key-jwt")]
    fn private_key_jwt(&self) -> Result<ClientAuth, ConfigError> {
        use crate::grant::{PrivateKey, SignedJwt};

        let pem = secret(
            ("private_key", &self.private_key),
            ("private_key_file", &self.private_key_file),
        )?;
        let mut key = PrivateKey::from_pem(needed("private_key", pem)?.secret())?;
        if let Some(id) = &self.key_id {
            key = key.with_key_id(id);
        }
        let mut jwt = SignedJwt::new(key);
        if let Some(audience) = &self.assertion_audience {
            jwt = jwt.audience(audience);
        }
        Ok(ClientAuth::private_key_jwt(jwt))
    }

    #[cfg(not(feature = "private-key-jwt"))]
    fn private_key_jwt(&self) -> Result<ClientAuth, ConfigError> {
        let reason = "needs tower-bearer's feature `private-key-jwt`";
        Err(ConfigError::new("private_key", reason))
    }
}
