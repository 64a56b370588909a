//! Recognizes secrets in what a server sends back.

use zeroize::Zeroizing;

/// Shorter pieces of a secret occur in ordinary words.
const MIN_PIECE: usize = 4;

/// Whether the text holds the secret, in any letter case, or a piece of it
/// between punctuation: a host name or an error code that repeats a password has
/// to leave the punctuation out.
pub(super) fn echoes(text: &str, secret: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // ASCII keeps its length, so the buffer never grows and leaves nothing
    // behind.
    let secret = Zeroizing::new(secret.to_ascii_lowercase());
    let whole = !secret.is_empty() && text.contains(secret.as_str());
    whole
        || secret
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|piece| piece.len() >= MIN_PIECE && text.contains(piece))
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
