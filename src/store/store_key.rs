//! The key that seals the entries of a store outside this process.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use zeroize::Zeroizing;
#[cfg(all(feature = "file-store", unix))]
use {
    base64::engine::general_purpose::STANDARD as STANDARD_ENGINE, chacha20poly1305::Key,
    chacha20poly1305::aead::Generate,
};

use crate::error::ConfigError;

/// Key of 32 bytes that the processes of a fleet share to encrypt their entries in
/// the store. Wiped when dropped, absent from `Debug`.
///
/// `openssl rand -base64 32` generates one.
///
/// ```
/// use tower_bearer::store::StoreKey;
///
/// let text = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// let key: StoreKey = text.parse()?;
/// assert!("a password".parse::<StoreKey>().is_err());
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    /// Creates a key from 32 bytes, which must be random: a password is not a key.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a key from a file that holds 32 bytes, or the key as text that
    /// [`str::parse`] accepts, with or without surrounding white space. Blocks until
    /// the file is read.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or does not hold a key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let read = fs::read(path).map_err(|error| {
            ConfigError::new("key", format!("cannot read {}: {error}", path.display()))
        });
        Self::from_contents(&Zeroizing::new(read?))
    }

    /// Reads a key from the contents of a file.
    pub(super) fn from_contents(bytes: &[u8]) -> Result<Self, ConfigError> {
        if let Ok(bytes) = bytes.try_into() {
            return Ok(Self::from_bytes(bytes));
        }
        std::str::from_utf8(bytes)
            .map_err(|_| malformed())?
            .trim()
            .parse()
    }

    /// Generates a key. Returns `None` if the system returns no random numbers.
    #[cfg(all(feature = "file-store", unix))]
    pub(super) fn generate() -> Option<Self> {
        let key = Key::try_generate().ok()?;
        Some(Self::from_bytes(key.into()))
    }

    /// Returns the key as text that [`str::parse`] accepts.
    #[cfg(all(feature = "file-store", unix))]
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD_ENGINE.encode(self.as_bytes()))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Parses 64 hexadecimal digits, or base64 in either alphabet, with or without
/// padding.
impl FromStr for StoreKey {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let bytes = if text.len() == 64 {
            hex(text)
        } else {
            base64(text)
        };
        let bytes = bytes.ok_or_else(malformed)?;
        let key = bytes.as_slice().try_into().map_err(|_| malformed())?;
        Ok(Self::from_bytes(key))
    }
}

fn hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    let bytes = pairs.map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8));
    bytes.collect::<Option<_>>().map(Zeroizing::new)
}

fn base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
        .map(Zeroizing::new)
}

fn malformed() -> ConfigError {
    ConfigError::new("key", "not 32 bytes in base64 or hexadecimal digits")
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_however_they_are_written() {
        let bytes = *b"0123456789abcdef>>>>????\xff\xfe\xfd\xfc0123";
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        for text in [
            "MDEyMzQ1Njc4OWFiY2RlZj4+Pj4/Pz8///79/DAxMjM=",
            "MDEyMzQ1Njc4OWFiY2RlZj4+Pj4/Pz8///79/DAxMjM",
            "MDEyMzQ1Njc4OWFiY2RlZj4-Pj4_Pz8___79_DAxMjM",
            &hex,
            &hex.to_uppercase(),
        ] {
            let key: StoreKey = text.parse().expect(text);
            assert_eq!(key.as_bytes(), &bytes, "{text}");
        }
        for text in ["", "secret", "c2VjcmV0", &hex[2..], &"g".repeat(64)] {
            let error = text.parse::<StoreKey>().expect_err(text);
            assert_eq!(error.field(), "key");
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }

    #[test]
    fn debug_does_not_show_a_key() {
        assert_eq!(
            format!("{:?}", StoreKey::from_bytes([7; 32])),
            "StoreKey { .. }"
        );
    }
}
