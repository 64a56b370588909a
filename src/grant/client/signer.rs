//! The signer of an assertion.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use serde_json::{Map, Value};

use crate::error::BoxError;

/// Signer of assertions: a key in memory (`PrivateKey`, feature `private-key-jwt`),
/// or a service that never releases its key (an HSM, a cloud's key management).
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

    /// Returns the `kid` that identifies the key to the server (RFC 7515, section
    /// 4.1.4). The default returns `None`, and no `kid` is sent.
    fn key_id(&self) -> Option<&str> {
        None
    }

    /// Adds other headers (RFC 7515, section 4.1), `x5t#S256` for example. The default
    /// adds none.
    ///
    /// ```
    /// # use tower_bearer::BoxError;
    /// use tower_bearer::grant::{JwtHeaders, Signer};
    ///
    /// # struct Vault { thumbprint: String }
    /// impl Signer for Vault {
    ///     # fn algorithm(&self) -> &str { "PS256" }
    ///     # async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, BoxError> { Ok(Vec::new()) }
    ///     // …
    ///     fn add_headers(&self, headers: &mut JwtHeaders) {
    ///         headers.set("x5t#S256", &self.thumbprint);
    ///     }
    /// }
    /// ```
    fn add_headers(&self, headers: &mut JwtHeaders) {
        let _ = headers;
    }

    /// Returns the files that the key is in, so that another key in them counts as
    /// new credentials. The default returns none.
    #[doc(hidden)]
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Returns a fingerprint of the key, so that another one counts as new
    /// credentials. The default returns 0: it is unknown, or is read from
    /// [`files`](Self::files).
    #[doc(hidden)]
    fn fingerprint(&self) -> u64 {
        0
    }

    /// Signs a message. Returns the bytes of the signature as in RFC 7518, section
    /// 3: for ES256, r and s of 32 bytes each, not ASN.1.
    ///
    /// # Errors
    ///
    /// Fails if it cannot sign; the error must contain no secret. It becomes
    /// [`TokenErrorKind::Source`](crate::TokenErrorKind::Source), which is
    /// transient; a [`TokenError`](crate::TokenError) is kept unchanged.
    fn sign(&self, message: &[u8]) -> impl Future<Output = Result<Vec<u8>, BoxError>> + Send;
}

/// Headers of an assertion, to which a [`Signer`] adds.
#[derive(Clone, Default)]
pub struct JwtHeaders(pub(super) Map<String, Value>);

impl JwtHeaders {
    /// Sets a header, replacing it if it was set before. `alg` cannot be set.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into().into());
    }

    /// Sets a header that is a list of strings, such as the certificates of `x5c`
    /// (RFC 7515, section 4.1.6).
    pub fn set_list<I>(&mut self, name: impl Into<String>, values: I)
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let values = values.into_iter().map(|value| Value::String(value.into()));
        self.0.insert(name.into(), values.collect());
    }
}

impl fmt::Debug for JwtHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

type Signed<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, BoxError>> + Send + 'a>>;

/// [`Signer`] as a trait object.
pub(super) trait DynSigner: Send + Sync + 'static {
    fn algorithm(&self) -> &str;
    fn key_id(&self) -> Option<&str>;
    fn add_headers(&self, headers: &mut JwtHeaders);
    fn files(&self) -> Vec<PathBuf>;
    fn fingerprint(&self) -> u64;
    fn sign<'a>(&'a self, message: &'a [u8]) -> Signed<'a>;
}

impl<S: Signer> DynSigner for S {
    fn algorithm(&self) -> &str {
        Signer::algorithm(self)
    }

    fn key_id(&self) -> Option<&str> {
        Signer::key_id(self)
    }

    fn add_headers(&self, headers: &mut JwtHeaders) {
        Signer::add_headers(self, headers);
    }

    fn files(&self) -> Vec<PathBuf> {
        Signer::files(self)
    }

    fn fingerprint(&self) -> u64 {
        Signer::fingerprint(self)
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
