//! Tokens that look like Keycloak's: JWTs whose signature is random.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::time::Instant;

/// The end of a token, which is unique. Valid tokens are looked up by it, so that a
/// lookup need not hash a kilobyte.
pub(super) type Tail = [u8; 16];

/// The length of an RS256 signature, in bytes.
const SIGNATURE: usize = 256;

/// Creates tokens. Their claims are for the reader; no signature is verified.
pub(super) struct Mint {
    /// The wall clock when the server was built. From then on tokio's clock counts,
    /// which a test may pause.
    epoch: Duration,
    started: Instant,
}

impl Mint {
    pub(super) fn new() -> Self {
        Self {
            epoch: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            started: Instant::now(),
        }
    }

    /// Returns the seconds since the epoch.
    pub(super) fn epoch_seconds(&self, at: Instant) -> u64 {
        (self.epoch + at.saturating_duration_since(self.started)).as_secs()
    }

    /// Returns an access token of about 1.1 KiB. Each number results in a different
    /// token.
    pub(super) fn access(
        &self,
        number: u64,
        client: &str,
        user: &str,
        session: &str,
        life: Duration,
    ) -> String {
        let iat = self.epoch_seconds(Instant::now());
        self.token(
            number,
            &json!({
                "exp": iat.saturating_add(life.as_secs()),
                "iat": iat,
                "jti": uuid(),
                "iss": "https://auth.voipex.test/realms/voipex",
                "aud": "account",
                "sub": uuid(),
                "typ": "Bearer",
                "azp": client,
                "preferred_username": user,
                "sid": session,
                "acr": "1",
                "allowed-origins": ["https://app.voipex.test"],
                "realm_access": { "roles": ["offline_access", "default-roles-voipex"] },
                "resource_access": { "account": { "roles": ["manage-account", "view-profile"] } },
                "scope": "profile email",
                "email_verified": true,
                "locale": "en",
            }),
        )
    }

    /// Returns a refresh token.
    pub(super) fn refresh(&self, number: u64, session: &str) -> String {
        let iat = self.epoch_seconds(Instant::now());
        let claims = json!({ "iat": iat, "jti": uuid(), "typ": "Refresh", "sid": session });
        self.token(number, &claims)
    }

    fn token(&self, number: u64, claims: &serde_json::Value) -> String {
        let mut signature: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
            .take(SIGNATURE)
            .collect();
        // The tail's 16 characters encode the last 11 bytes.
        signature[SIGNATURE - 8..].copy_from_slice(&number.to_be_bytes());
        [
            br#"{"alg":"RS256","typ":"JWT","kid":"qlMuNE2cCEHRIX9sLuWIMaiKVC1Zk0M8"}"#.as_slice(),
            claims.to_string().as_bytes(),
            &signature,
        ]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".")
    }
}

/// Returns the tail of a token, if it is long enough.
pub(super) fn tail(token: &[u8]) -> Option<Tail> {
    token.last_chunk().copied()
}

/// Returns a random UUID.
pub(super) fn uuid() -> String {
    let id = fastrand::u128(..);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        id >> 96,
        id >> 80 & 0xffff,
        id >> 64 & 0xfff,
        id >> 48 & 0x3fff | 0x8000,
        id & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_makes_another_tail_whatever_the_random_bytes() {
        let mint = Mint::new();
        let mut tails: Vec<_> = (0..600)
            .map(|number| {
                fastrand::seed(7);
                tail(
                    mint.access(number, "api", "me", "s", Duration::ZERO)
                        .as_bytes(),
                )
            })
            .collect();
        tails.sort();
        tails.dedup();
        assert_eq!(tails.len(), 600);
    }
}
