//! The data that a store keeps without reading it.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

/// Bytes that a store keeps without reading them. They may hold a token: they are
/// absent from `Debug` and wiped when dropped. A store that writes them outside the
/// process encrypts them.
///
/// ```
/// use tower_bearer::store::Payload;
///
/// let payload = Payload::from(b"t0ken".to_vec());
/// assert_eq!(payload.as_bytes(), b"t0ken");
/// assert_eq!(format!("{payload:?}"), "Payload { len: 5, .. }");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Zeroizing<Vec<u8>>);

impl Payload {
    /// Returns the bytes.
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

/// Payload with the time for which the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes to keep.
    pub payload: Payload,
    /// The time to live. Zero deletes what the store has.
    pub ttl: Duration,
}

impl Stored {
    /// Creates a payload with its time to live.
    pub fn new(payload: impl Into<Payload>, ttl: Duration) -> Self {
        Self {
            payload: payload.into(),
            ttl,
        }
    }
}
