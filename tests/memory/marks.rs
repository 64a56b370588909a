//! Secrets generated at run time, and kept here only masked: the search for a secret
//! must not find it here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const MASK: u8 = 0xa5;
/// A secret to search for, each byte masked.
#[derive(Clone)]
pub(crate) struct Mark(Vec<u8>);

impl Mark {
    /// Returns a new secret: letters, and in their middle a character that some
    /// encoding escapes.
    pub(crate) fn new(middle: u8) -> Self {
        let mut masked = Self::random(24);
        masked.insert(12, middle ^ MASK);
        Self(masked)
    }

    fn random(length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| fastrand::lowercase() as u8 ^ MASK)
            .collect()
    }

    /// Returns the secret itself, which the caller has to wipe.
    pub(crate) fn reveal(&self) -> String {
        let mut secret = String::with_capacity(self.0.len());
        secret.extend(self.0.iter().map(|byte| char::from(byte ^ MASK)));
        secret
    }

    /// Returns the secret with its middle escaped.
    pub(crate) fn escaped(&self, middle: &str) -> Self {
        let masked = middle.bytes().map(|byte| byte ^ MASK);
        let mut escaped = self.clone();
        escaped.0.splice(12..13, masked);
        escaped
    }

    /// Returns the part after its middle, which no encoding changes.
    pub(crate) fn tail(&self) -> Self {
        Self(self.0[13..].to_vec())
    }

    /// Returns its form in a Basic header after the client's id, without the last
    /// characters, which depend on the length.
    pub(crate) fn in_basic(&self, id: &str) -> Self {
        let encoded = Zeroizing::new(self.escaped("%26").reveal());
        let mut pair = Zeroizing::new(String::with_capacity(id.len() + 1 + encoded.len()));
        pair.push_str(id);
        pair.push(':');
        pair.push_str(&encoded);
        let basic = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        let own = (id.len() + 1).div_ceil(3) * 4..basic.len() - 4;
        Self(
            basic.as_bytes()[own]
                .iter()
                .map(|byte| byte ^ MASK)
                .collect(),
        )
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Counts how often it occurs in these bytes.
    pub(crate) fn count(&self, bytes: &[u8]) -> usize {
        let first = self.0[0] ^ MASK;
        let at_first = bytes
            .windows(self.0.len())
            .filter(|window| window[0] == first);
        at_first
            .filter(|window| self.0.iter().zip(*window).all(|(a, b)| a ^ MASK == *b))
            .count()
    }
}
