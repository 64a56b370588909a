//! Whether a server gave back what it was sent.

use zeroize::Zeroizing;

/// Shorter pieces of a secret are in too many words to mean anything.
const PIECE: usize = 4;

/// Whether the text holds the secret, in any case of ASCII letters, or a piece of it: a
/// host name or an error code that repeats a password has to leave out its
/// punctuation.
pub(super) fn echoes(text: &str, secret: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // Of the same length, so that the buffer never grows and leaves nothing
    // behind.
    let secret = Zeroizing::new(secret.to_ascii_lowercase());
    let whole = !secret.is_empty() && text.contains(secret.as_str());
    whole
        || secret
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|piece| piece.len() >= PIECE && text.contains(piece))
}

#[cfg(test)]
mod tests {
    use super::echoes;

    #[test]
    fn a_secret_and_its_longer_pieces_are_known_again() {
        for (text, secret, echo) in [
            ("was_hunter2_wrong", "hunter2", true),
            ("hunter2", "HUNTER2", true),
            ("https://Hunter2.evil.test", "hunter2", true),
            ("hunter2_pass", "hunter2+pass", true),
            ("hunter2", "%%hunter2!", true),
            ("a_b", "b", true),
            ("a_b", "x:b:y", false),
            ("account_locked", "hunter2", false),
            ("account_locked", "", false),
        ] {
            assert_eq!(echoes(text, secret), echo, "{text} {secret}");
        }
    }
}
