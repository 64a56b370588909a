//! How the client of a configuration proves itself.

use std::path::PathBuf;

use super::source_config::SourceConfig;
use super::values::Secret;
use crate::error::ConfigError;
use crate::grant::{self, ClientAuth, SecretFile};

/// The secret that a member holds, or the file that another one names.
pub(super) fn secret(
    (name, secret): (&'static str, &Option<Secret>),
    (file_name, file): (&'static str, &Option<PathBuf>),
) -> Result<Option<grant::Secret>, ConfigError> {
    match (secret, file) {
        (Some(_), Some(_)) => {
            let reason = format!("is there beside `{name}`: one of them");
            Err(ConfigError::new(file_name, reason))
        }
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

/// A member that has to be there.
pub(super) fn needed<T>(name: &'static str, member: Option<T>) -> Result<T, ConfigError> {
    member.ok_or_else(|| ConfigError::new(name, "is missing"))
}

impl SourceConfig {
    pub(super) fn client_auth(&self) -> Result<ClientAuth, ConfigError> {
        let secret = secret(
            ("client_secret", &self.client_secret),
            ("client_secret_file", &self.client_secret_file),
        )?;
        let has_key = self.private_key.is_some() || self.private_key_file.is_some();
        let assertion = &self.client_assertion_file;
        let way = self.client_auth.as_deref().unwrap_or(match () {
            () if secret.is_some() => "basic",
            () if has_key => "private_key_jwt",
            () if assertion.is_some() => "assertion",
            () => "none",
        });
        for (name, there, its) in [
            (
                "client_secret",
                secret.is_some(),
                &["basic", "form"] as &[_],
            ),
            ("private_key", has_key, &["private_key_jwt"]),
            ("key_id", self.key_id.is_some(), &["private_key_jwt"]),
            (
                "assertion_audience",
                self.assertion_audience.is_some(),
                &["private_key_jwt"],
            ),
            ("client_assertion_file", assertion.is_some(), &["assertion"]),
        ] {
            if there && !its.contains(&way) {
                let reason = "has no place beside this way of the client to prove itself";
                return Err(ConfigError::new(name, reason));
            }
        }
        match way {
            "none" => Ok(ClientAuth::none()),
            "tls" => Ok(ClientAuth::tls_client_auth()),
            "basic" => needed("client_secret", secret).map(ClientAuth::client_secret_basic),
            "form" => needed("client_secret", secret).map(ClientAuth::client_secret_post),
            "assertion" => needed("client_assertion_file", assertion.as_ref())
                .map(|path| ClientAuth::client_assertion(SecretFile::new(path))),
            "private_key_jwt" => self.private_key_jwt(),
            _ => {
                let reason =
                    "is none of `none`, `basic`, `form`, `private_key_jwt`, `assertion`, `tls`";
                Err(ConfigError::new("client_auth", reason))
            }
        }
    }

    #[cfg(feature = "private-key-jwt")]
    fn private_key_jwt(&self) -> Result<ClientAuth, ConfigError> {
        use crate::grant::{PrivateKey, PrivateKeyJwt};

        let pem = secret(
            ("private_key", &self.private_key),
            ("private_key_file", &self.private_key_file),
        )?;
        let mut key = PrivateKey::from_pem(needed("private_key", pem)?.secret())?;
        if let Some(id) = &self.key_id {
            key = key.with_key_id(id);
        }
        let mut jwt = PrivateKeyJwt::new(key);
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
