//! A private key in memory.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::error::{BoxError, ConfigError};
use crate::grant::client::signer::Signer;
use crate::grant::secret::SecretFile;

const FIELD: &str = "private_key";

/// A private key from a PEM string or file, which signs assertions with RS256
/// (an RSA key), ES256 (P-256) or EdDSA (Ed25519).
///
/// Reads PKCS #8 (`PRIVATE KEY`), PKCS #1 (`RSA PRIVATE KEY`) and SEC 1
/// (`EC PRIVATE KEY`). An RSA key must have at least 2048 bits. Needs the feature
/// `private-key-jwt`. Cheap to clone.
///
/// ```no_run
/// # fn auth() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::grant::{ClientAuth, PrivateKey, SignedJwt};
///
/// let key = PrivateKey::from_pem_file("/run/secrets/key.pem")?.with_key_id("2026-11");
/// let auth = ClientAuth::private_key_jwt(SignedJwt::new(key));
/// # let _ = auth; Ok(()) }
/// ```
#[derive(Clone)]
pub struct PrivateKey {
    key: Arc<Key>,
    id: Option<String>,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Reads the first private key in a PEM string.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or it is of another kind. The error quotes
    /// nothing.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_ref())
            .map_err(|_| ConfigError::new(FIELD, "has no private key in PEM"))?;
        let key = read(&der).ok_or_else(|| {
            let reason =
                "is neither an RSA key of 2048 bits or more, nor a P-256 or an Ed25519 key";
            ConfigError::new(FIELD, reason)
        })?;
        Ok(Self {
            key: Arc::new(key),
            id: None,
        })
    }

    /// Reads the first private key in a PEM file.
    ///
    /// # Errors
    ///
    /// Fails as [`from_pem`](Self::from_pem) does; also if the file cannot be
    /// read. The error names the file.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let fault = |what: &str| ConfigError::new(FIELD, format!("{}: {what}", path.display()));
        let pem = SecretFile::new(path).read();
        let pem = pem.map_err(|e| fault(&e.to_string()))?;
        Self::from_pem(pem.secret()).map_err(|e| fault(e.reason()))
    }

    /// Sets the `kid` that tells the server which key this is. Default: none is
    /// sent.
    #[must_use]
    pub fn with_key_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }
}

fn read(der: &PrivateKeyDer<'_>) -> Option<Key> {
    match der {
        PrivateKeyDer::Pkcs1(der) => rsa(RsaKeyPair::from_der(der.secret_pkcs1_der()).ok()?),
        PrivateKeyDer::Sec1(der) => {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let key = EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der());
            key.ok().map(Key::P256)
        }
        PrivateKeyDer::Pkcs8(der) => {
            let der = der.secret_pkcs8_der();
            let p256 = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
            let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
            let of_rsa = || RsaKeyPair::from_pkcs8(der).ok().and_then(rsa);
            (p256().ok().map(Key::P256))
                .or_else(|| ed25519().ok().map(Key::Ed25519))
                .or_else(of_rsa)
        }
        _ => None,
    }
}

/// RFC 7518, section 3.3: 2048 bits at least.
fn rsa(key: RsaKeyPair) -> Option<Key> {
    (key.public_modulus_len() >= 256).then_some(Key::Rsa(key))
}

impl Signer for PrivateKey {
    fn algorithm(&self) -> &str {
        match *self.key {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
        }
    }

    fn key_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
        let random = SystemRandom::new();
        let failed = |_| BoxError::from("the private key could not sign");
        Ok(match &*self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                signature
            }
            Key::P256(key) => key
                .sign(&random, message)
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("algorithm", &self.algorithm())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
