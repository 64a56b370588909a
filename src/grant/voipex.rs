//! The preset for VoIPex.

use http::Uri;

use crate::grant::PasswordGrant;
use crate::grant::client::Client;
use crate::grant::endpoint::Endpoint;
use crate::grant::password::Password;

const ENDPOINT: &str = "https://auth.voipex.io/token";
const CLIENT_ID: &str = "api";

impl PasswordGrant {
    /// The grant of VoIPex's API: `https://auth.voipex.io/token` with the
    /// client id `api`. The user name is the account's e-mail address.
    ///
    /// ```
    /// # let password = "secret";
    /// use tower_bearer::PasswordGrant;
    ///
    /// let account = PasswordGrant::voipex("your@email.com", password);
    /// # let _ = account;
    /// ```
    pub fn voipex(username: impl Into<String>, password: impl Into<String>) -> Self {
        let endpoint = Endpoint::known(Uri::from_static(ENDPOINT));
        let kind = Password::new(username.into(), password.into());
        Self::of(kind, endpoint, Client::new(CLIENT_ID))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::endpoint::parse_as;

    #[test]
    fn the_preset_keeps_the_rules_of_an_endpoint() {
        assert_eq!(parse_as("endpoint", ENDPOINT).expect("valid"), ENDPOINT);
        let shown = format!("{:?}", PasswordGrant::voipex("me", "hunter2"));
        assert!(shown.contains("auth.voipex.io") && shown.contains("\"api\""));
        assert!(!shown.contains("hunter2"));
    }
}
