//! A private key in memory.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{BoxError, ConfigError};
use crate::grant::client::signer::{JwtHeaders, Signer};
use crate::grant::fingerprint::Fingerprint;
use crate::grant::secret::SecretFile;

const FIELD: &str = "private_key";

/// Private key from a PEM string or file, which signs assertions:
///
/// | key | [algorithm](Self::with_algorithm) (RFC 7518, section 3.1; RFC 8037) |
/// |---|---|
/// | RSA | `RS256`, or `RS384`, `RS512`, `PS256`, `PS384`, `PS512` |
/// | P-256 | `ES256` |
/// | P-384 | `ES384` |
/// | Ed25519 | `EdDSA` |
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
    algorithm: &'static str,
    id: Option<String>,
    /// The file that it is read from again.
    file: Option<Arc<Path>>,
    certificate: Option<Thumbprints>,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The hashes of a certificate (RFC 7515, sections 4.1.7 and 4.1.8).
#[derive(Clone)]
struct Thumbprints {
    sha1: String,
    sha256: String,
}

/// The algorithms of an RSA key, the default first.
const OF_RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

impl Key {
    /// Returns the algorithms that this key can sign with, the default first.
    fn algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Rsa(_) => &OF_RSA,
            Self::P256(_) => &["ES256"],
            Self::P384(_) => &["ES384"],
            Self::Ed25519(_) => &["EdDSA"],
        }
    }
}

impl PrivateKey {
    /// Reads the first private key in a PEM string.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or it is of an unsupported kind. The error quotes
    /// nothing.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_ref())
            .map_err(|_| ConfigError::new(FIELD, "has no private key in PEM"))?;
        let key = read(&der).ok_or_else(|| {
            let reason =
                "is neither an RSA key of 2048 bits or more, nor a P-256, P-384 or Ed25519 key";
            ConfigError::new(FIELD, reason)
        })?;
        Ok(Self {
            algorithm: key.algorithms()[0],
            key: Arc::new(key),
            id: None,
            file: None,
            certificate: None,
        })
    }

    /// Reads the first private key in a PEM file now, blocking, and again for each
    /// signature, so that it can be replaced by another key of the same algorithm
    /// while the program runs.
    ///
    /// # Errors
    ///
    /// Fails as [`from_pem`](Self::from_pem) does, and if the file cannot be read.
    /// The error names the file.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let fault = |what: &str| ConfigError::new(FIELD, format!("{}: {what}", path.display()));
        let pem = SecretFile::new(path).read();
        let pem = pem.map_err(|e| fault(&e.to_string()))?;
        let key = Self::from_pem(pem.secret()).map_err(|e| fault(e.reason()))?;
        Ok(Self {
            file: Some(path.into()),
            ..key
        })
    }

    /// Returns the key that its file holds now.
    async fn current(&self) -> Result<Arc<Key>, BoxError> {
        let Some(path) = self.file.clone() else {
            return Ok(self.key.clone());
        };
        let read = tokio::task::spawn_blocking(move || Self::from_pem_file(&path));
        let now = read.await??;
        if !now.key.algorithms().contains(&self.algorithm) {
            return Err("the private key was replaced by one of another algorithm".into());
        }
        Ok(now.key)
    }

    /// Sets the `kid` that identifies the key to the server. Default: none is sent.
    #[must_use]
    pub fn with_key_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the algorithm to sign with, for a server that does not accept the first
    /// in the [table](Self).
    ///
    /// # Errors
    ///
    /// Fails if this key cannot sign with it.
    pub fn with_algorithm(mut self, algorithm: &str) -> Result<Self, ConfigError> {
        let known = self.key.algorithms();
        let Some(algorithm) = known.iter().find(|it| **it == algorithm) else {
            let reason = format!(
                "cannot sign by this algorithm, only by {}",
                known.join(", ")
            );
            return Err(ConfigError::new(FIELD, reason));
        };
        self.algorithm = algorithm;
        Ok(self)
    }

    /// Adds the headers `x5t` and `x5t#S256`, by which the server identifies the
    /// certificate of this key: the first certificate in a PEM string. Microsoft
    /// Entra ID requires one of them.
    ///
    /// # Errors
    ///
    /// Fails if there is no certificate. The error quotes nothing.
    pub fn with_certificate(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let der = CertificateDer::from_pem_slice(pem.as_ref())
            .map_err(|_| ConfigError::new("certificate", "has no certificate in PEM"))?;
        let hash = |algorithm| URL_SAFE_NO_PAD.encode(digest(algorithm, &der));
        self.certificate = Some(Thumbprints {
            sha1: hash(&SHA1_FOR_LEGACY_USE_ONLY),
            sha256: hash(&SHA256),
        });
        Ok(self)
    }
}

fn read(der: &PrivateKeyDer<'_>) -> Option<Key> {
    match der {
        PrivateKeyDer::Pkcs1(der) => rsa(RsaKeyPair::from_der(der.secret_pkcs1_der()).ok()?),
        PrivateKeyDer::Sec1(der) => {
            let der = der.secret_sec1_der();
            let ecdsa = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, der).ok();
            of_curve(ecdsa)
        }
        PrivateKeyDer::Pkcs8(der) => {
            let der = der.secret_pkcs8_der();
            let ecdsa = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der).ok();
            let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
            let of_rsa = || RsaKeyPair::from_pkcs8(der).ok().and_then(rsa);
            of_curve(ecdsa)
                .or_else(|| ed25519().ok().map(Key::Ed25519))
                .or_else(of_rsa)
        }
        _ => None,
    }
}

/// Reads a key of any supported curve.
fn of_curve(read: impl Fn(&'static EcdsaSigningAlgorithm) -> Option<EcdsaKeyPair>) -> Option<Key> {
    let p256 = read(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Key::P256);
    p256.or_else(|| read(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Key::P384))
}

/// Requires at least 2048 bits (RFC 7518, section 3.3).
fn rsa(key: RsaKeyPair) -> Option<Key> {
    (key.public_modulus_len() >= 256).then_some(Key::Rsa(key))
}

impl Signer for PrivateKey {
    fn algorithm(&self) -> &str {
        self.algorithm
    }

    fn key_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn add_headers(&self, headers: &mut JwtHeaders) {
        if let Some(certificate) = &self.certificate {
            headers.set("x5t", &certificate.sha1);
            headers.set("x5t#S256", &certificate.sha256);
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        self.file.iter().map(|path| path.to_path_buf()).collect()
    }

    fn fingerprint(&self) -> u64 {
        if self.file.is_some() {
            return 0;
        }
        let mut hasher = Fingerprint::new();
        match &*self.key {
            Key::Rsa(key) => key.public_key().as_ref().hash(&mut hasher),
            Key::P256(key) | Key::P384(key) => key.public_key().as_ref().hash(&mut hasher),
            Key::Ed25519(key) => key.public_key().as_ref().hash(&mut hasher),
        }
        hasher.finish()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
        let random = SystemRandom::new();
        let failed = |_| BoxError::from("the private key could not sign");
        let key = self.current().await?;
        Ok(match &*key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let padding: &'static dyn RsaEncoding = match self.algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                key.sign(padding, &random, message, &mut signature)
                    .map_err(failed)?;
                signature
            }
            Key::P256(key) | Key::P384(key) => key
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
