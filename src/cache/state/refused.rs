//! Refused credentials in files whose contents may have changed.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::credentials::{CredentialMemory, Fingerprints};
use crate::cache::failures::classify;
use crate::cache::schedule::FailureClass;
use crate::cache::state::{Requirements, State};
use crate::error::TokenError;

/// How often the files are read while their credentials are refused.
const EVERY: Duration = Duration::from_secs(1);

/// The same, if they could not be read in time: a network file system that hangs.
const SELDOM: Duration = Duration::from_secs(30);

impl State {
    /// Records that credentials are about to be tried: `contents` is a number for
    /// what their files hold, beyond what their fingerprint tells.
    pub(crate) fn note_tried(&mut self, contents: Option<u64>) {
        if self.rare.tried != contents {
            self.rare.tried = contents;
        }
    }

    /// Returns whether to look for new credentials, while a fetch would fail with
    /// this error.
    pub(crate) fn may_reread(&mut self, error: &TokenError, now: Instant) -> bool {
        let is_due = self.rare.reread_at.is_none_or(|at| now >= at);
        let may = is_due && !self.closed && classify(error) == FailureClass::Refused;
        if may {
            self.rare.reread_at = Some(now + EVERY);
        }
        may
    }

    /// Records that the files could not be read in time.
    pub(crate) fn put_off_rereading(&mut self, now: Instant) {
        self.rare.reread_at = Some(now + SELDOM);
    }

    /// Forgets the refusal if the credentials have changed. Returns the failure that
    /// still prevents a fetch. `locks`: a person's account may be locked.
    pub(crate) fn forget_replaced(
        &mut self,
        credentials: Fingerprints,
        contents: Option<u64>,
        locks: bool,
        needs: Requirements,
        now: Instant,
    ) -> Option<TokenError> {
        let refused = self.blocking_for(needs, now)?;
        let memory = self.memory.as_ref().map(|memory| memory.fingerprint());
        match replaced(
            memory,
            credentials,
            self.rare.tried != contents,
            &refused,
            locks,
        ) {
            Replaced::Nothing => return Some(refused),
            // The memory of the old ones applies to anything that still has them.
            Replaced::Fingerprint => {}
            Replaced::Contents => {
                CredentialMemory::forget(credentials);
                self.ignore_failures = true;
            }
        }
        self.memory = None;
        self.failures.clear();
        if let Some(rare) = self.rare.existing() {
            rare.failed_logins.clear();
        }
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replaced {
    Nothing,
    /// A password or a client's secret.
    Fingerprint,
    /// Something without a fingerprint: an assertion, a key, a certificate.
    Contents,
}

/// Returns what has changed of the refused credentials, whose `memory` has this
/// fingerprint. With a person's password, an assertion that changes each hour counts
/// only if it was the client that was refused: otherwise the password would be sent
/// again.
fn replaced(
    memory: Option<u64>,
    credentials: Fingerprints,
    others: bool,
    refused: &TokenError,
    locks: bool,
) -> Replaced {
    let of_client = !locks || refused.oauth_error() == Some("invalid_client");
    match memory {
        Some(memory) if !credentials.includes(memory) => Replaced::Fingerprint,
        _ if others && of_client => Replaced::Contents,
        _ => Replaced::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::error::TokenErrorKind;

    #[test]
    fn what_was_refused_is_replaced_by_what_was_not_tried() {
        use Replaced::{Contents, Fingerprint, Nothing};
        for (memory, others, code, locks, expected) in [
            (Some(1), false, "invalid_grant", true, Nothing),
            (Some(3), false, "invalid_scope", true, Nothing),
            (Some(2), false, "invalid_grant", true, Fingerprint),
            (Some(2), true, "invalid_client", true, Fingerprint),
            (Some(1), true, "invalid_grant", true, Nothing),
            (Some(1), true, "invalid_client", true, Contents),
            (Some(1), true, "invalid_grant", false, Contents),
            (None, true, "invalid_client", false, Contents),
            (None, false, "invalid_client", false, Nothing),
        ] {
            let error = TokenError::new(TokenErrorKind::Refused, "test");
            let error = error.with_response(StatusCode::BAD_REQUEST, Some(code));
            let credentials = Fingerprints {
                credentials: 1,
                request: 3,
            };
            let replaced = replaced(memory, credentials, others, &error, locks);
            assert_eq!(replaced, expected, "{memory:?} {others} {code} {locks}");
        }
    }
}
