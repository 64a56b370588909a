//! VoIPex's authorization server, as its documentation names it.

use http::Uri;

use crate::grant::client::Client;
use crate::grant::endpoint::Endpoint;
use crate::grant::grant::Grant;

const TOKEN_ENDPOINT: &str = "https://auth.voipex.io/token";
const CLIENT_ID: &str = "api";

impl<K> Grant<K> {
    /// Creates a grant of VoIPex's public client, at its token endpoint.
    pub(crate) fn at_voipex(kind: K) -> Self {
        let endpoint = Endpoint::known(Uri::from_static(TOKEN_ENDPOINT));
        Self::of(kind, endpoint, Client::new(CLIENT_ID))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::PasswordGrant;
    use crate::grant::endpoint::parse_as;

    #[test]
    fn the_preset_keeps_the_rules_of_an_endpoint() {
        let uri = parse_as("endpoint", TOKEN_ENDPOINT).expect("valid");
        assert_eq!(uri, TOKEN_ENDPOINT);
        let shown = format!("{:?}", PasswordGrant::voipex("me", "hunter2"));
        assert!(shown.contains("auth.voipex.io") && shown.contains("\"api\""));
        assert!(!shown.contains("hunter2"));
    }
}
