//! The description of a server: its `server.json`.

use std::path::Path;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct About {
    /// The server and its version.
    pub(crate) name: String,
    pub(crate) token_endpoint: String,
    /// For RFC 7009.
    pub(crate) revocation_endpoint: Option<String>,
    /// What reads the server's tokens.
    pub(crate) api: Api,
    /// Another one, which rejects dead ones in another way.
    pub(crate) other_api: Option<Api>,
    pub(crate) account: Account,
    /// Whether it grants tokens to the client itself.
    #[serde(default)]
    pub(crate) client_credentials: bool,
    /// The client that does so, if it is another one.
    pub(crate) machine: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) refresh: Refresh,
    /// The error for a wrong client secret; none if any is taken.
    pub(crate) wrong_secret: Option<String>,
    /// The error for a wrong password; none if any is taken.
    pub(crate) wrong_password: Option<String>,
    /// The ways in which the client `odd` can authenticate, whose secret has
    /// characters that have to be encoded.
    pub(crate) odd_secret: Vec<String>,
    /// Where an administrator ends an access token; none if that cannot be.
    pub(crate) kill: Option<String>,
    /// Whether the refresh token dies with the access token.
    #[serde(default)]
    pub(crate) kill_ends_session: bool,
    /// Whether tokens outlive a restart.
    #[serde(default)]
    pub(crate) remembers: bool,
    /// Whether it answers one request after the other, so that the calls of many
    /// clients would take longer than it is from one renewal to the next.
    #[serde(default)]
    pub(crate) one_at_a_time: bool,
    /// Whether it fails to make a second token for the same user within a second.
    #[serde(default)]
    pub(crate) one_token_a_second: bool,
    /// When an idle connection is closed; 0 if each is closed at once.
    pub(crate) keep_alive_seconds: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    pub(crate) path: String,
    #[serde(default = "post")]
    pub(crate) method: String,
    /// The statuses by which it says that a token is dead.
    #[serde(default = "unauthorized")]
    pub(crate) rejects_by: Vec<u16>,
}

/// How tokens for a user are had.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Account {
    Password,
    /// From a token that `run --refresh-token` prints.
    RefreshToken,
    /// Only the client's own grant.
    ClientCredentials,
}

/// What a refresh does to the access token in use.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refresh {
    /// There are no refresh tokens.
    None,
    LeavesAccessToken,
    EndsAccessToken,
}

fn post() -> String {
    "POST".into()
}

fn unauthorized() -> Vec<u16> {
    vec![401]
}

impl About {
    pub(crate) fn read(folder: &Path) -> Self {
        let path = folder.join("server.json");
        let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}
