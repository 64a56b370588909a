//! Presets: the grants of known services.

use super::client::only_one;
use super::source_config::SourceConfig;
use crate::error::ConfigError;
use crate::grant::PasswordGrant;
use crate::source::BoxTokenSource;
use crate::transport::Transport;
use crate::voipex::{self, VoipexImpersonation};

const VOIPEX: &str = "voipex";

impl SourceConfig {
    /// Builds the preset's source.
    pub(super) fn of_preset<T: Transport>(
        &self,
        transport: T,
    ) -> Result<BoxTokenSource, ConfigError> {
        if self.grant.is_some() {
            return Err(only_one("grant", "preset"));
        }
        if self.preset.as_deref() != Some(VOIPEX) {
            return Err(ConfigError::new(
                "preset",
                "is not `voipex`, the only one: other servers go under `grant`",
            ));
        }
        let used = [
            "username",
            "password",
            "password_file",
            "impersonate",
            "authorization_server",
        ];
        self.check_params_of(VOIPEX, &used)?;
        let (username, password) = self.user()?;
        let mut account = PasswordGrant::voipex(username, password);
        if let Some(origin) = &self.authorization_server {
            account = account.with_endpoint(voipex::token_endpoint(origin)?);
        }
        let account = self.finish(account, transport.clone())?;
        match self.impersonate.as_deref().map(str::trim) {
            None => Ok(account),
            Some("") => Err(ConfigError::new("impersonate", "is empty")),
            Some(login) => {
                let account = self.token_cache_builder_for(account)?.build()?;
                let mut user = VoipexImpersonation::new(account, login);
                if let Some(origin) = &self.authorization_server {
                    user = user.authorization_server(origin)?;
                }
                self.finish_without_params(user, transport)
            }
        }
    }
}
