//! What signs an assertion.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::error::BoxError;

/// Signs assertions: a key in memory (`PrivateKey`, feature `private-key-jwt`),
/// or a service that never hands out its key (an HSM, a cloud's key management).
///
/// ```
/// use tower_bearer::BoxError;
/// use tower_bearer::grant::Signer;
///
/// struct Vault;
/// # impl Vault {
/// #     async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, BoxError> { Ok(Vec::new()) }
/// # }
///
/// impl Signer for Vault {
///     fn algorithm(&self) -> &str {
///         "ES256"
///     }
///
///     async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
///         Vault::sign(self, message).await
///     }
/// }
/// ```
pub trait Signer: Send + Sync + 'static {
    /// Returns the `alg` of the signature (RFC 7518, section 3.1): `RS256`, `ES256`,
    /// `EdDSA` and so on.
    fn algorithm(&self) -> &str;

    /// Returns the `kid` that tells the server which key it was (RFC 7515,
    /// section 4.1.4). The default returns `None`, and no `kid` is sent.
    fn key_id(&self) -> Option<&str> {
        None
    }

    /// Signs a message. Returns the bytes of the signature as in RFC 7518,
    /// section 3: for ES256, r and s of 32 bytes each, not ASN.1.
    ///
    /// # Errors
    ///
    /// Fails if it cannot sign; the error must hold no secret. It becomes
    /// [`TokenErrorKind::Source`](crate::TokenErrorKind::Source), which is
    /// transient; a [`TokenError`](crate::TokenError) stays as it is.
    fn sign(&self, message: &[u8]) -> impl Future<Output = Result<Vec<u8>, BoxError>> + Send;
}

type Signed<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, BoxError>> + Send + 'a>>;

/// [`Signer`] as a trait object.
pub(super) trait DynSigner: Send + Sync + 'static {
    fn algorithm(&self) -> &str;
    fn key_id(&self) -> Option<&str>;
    fn sign<'a>(&'a self, message: &'a [u8]) -> Signed<'a>;
}

impl<S: Signer> DynSigner for S {
    fn algorithm(&self) -> &str {
        Signer::algorithm(self)
    }

    fn key_id(&self) -> Option<&str> {
        Signer::key_id(self)
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signed<'a> {
        Box::pin(Signer::sign(self, message))
    }
}

impl fmt::Debug for dyn DynSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("algorithm", &self.algorithm())
            .field("key_id", &self.key_id())
            .finish_non_exhaustive()
    }
}
