//! What a store keeps without reading it.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that a store keeps for the caches, which may hold a token: absent from
/// `Debug`, wiped when dropped. A store that leaves the process encrypts them.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Zeroizing<Vec<u8>>);

impl Payload {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("len", &self.0.len())
            .finish_non_exhaustive()
    }
}
