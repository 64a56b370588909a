//! Certificates and keys from PEM. Errors quote none of it.

use reqwest::{Certificate, Identity};

/// Removes a byte order mark, which editors add and the parser does not expect.
fn without_mark(pem: &[u8]) -> &[u8] {
    pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem)
}

/// Reads a certificate with its chain and its private key, in any order.
pub(super) fn identity(pem: impl AsRef<[u8]>) -> Result<Identity, &'static str> {
    Identity::from_pem(without_mark(pem.as_ref()))
        .map_err(|_| "is not PEM with a certificate and its private key")
}

/// Reads one or more certificates.
pub(super) fn roots(pem: impl AsRef<[u8]>) -> Result<Vec<Certificate>, &'static str> {
    match Certificate::from_pem_bundle(without_mark(pem.as_ref())) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err("is not PEM with a certificate"),
    }
}
