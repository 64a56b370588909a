//! VoIPex's authorization server, as documented by VoIPex.

use std::time::SystemTime;

use crate::error::TokenError;
use crate::grant::client::Client;
use crate::grant::endpoint::Endpoint;
use crate::grant::grant::Grant;
use crate::grant::params::Sent;
use crate::grant::response::error::Refusable;
use crate::grant::response::token::{self, Expected};
use crate::token::TokenResponse;
use crate::transport::{EndpointRequest, EndpointResponse};

const TOKEN_ENDPOINT: &str = "https://auth.voipex.io/token";
const CLIENT_ID: &str = "api";

impl<K> Grant<K> {
    /// Creates a grant of VoIPex's public client, at its token endpoint.
    pub(crate) fn at_voipex(kind: K) -> Self {
        let endpoint = Endpoint::known(TOKEN_ENDPOINT);
        Self::of(kind, endpoint, Client::new(CLIENT_ID))
    }
}

/// Reads a response of the exchange as that of a token endpoint. `login` is the
/// requested user, `credentials` names it, and `token_types` are accepted besides
/// bearer.
pub(crate) fn read_exchanged(
    response: &EndpointResponse,
    request: &EndpointRequest<'_>,
    (login, credentials): (&str, &'static str),
    token_types: &[String],
    now: SystemTime,
) -> Result<TokenResponse, TokenError> {
    let sent = Sent {
        secrets: request.secrets.to_vec(),
        names: vec![login],
    };
    let expected = Expected {
        refusal: Refusable {
            credentials,
            client_hint: None,
        },
        token_types,
        accepts_issued: &|_| true,
    };
    token::read(response, request, &sent, &expected, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::PasswordGrant;
    use crate::grant::endpoint::parse_as;

    #[test]
    fn the_preset_keeps_the_rules_of_an_endpoint() {
        let uri = parse_as("endpoint", TOKEN_ENDPOINT, false).expect("valid");
        assert_eq!(uri, TOKEN_ENDPOINT);
        let shown = format!("{:?}", PasswordGrant::voipex("me", "hunter2"));
        assert!(shown.contains("auth.voipex.io") && shown.contains("\"api\""));
        assert!(!shown.contains("hunter2"));
    }
}
