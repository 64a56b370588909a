//! Certificates and keys from PEM. Errors quote none of it.

use std::path::PathBuf;

use reqwest::{Certificate, Identity};
use zeroize::Zeroizing;

use crate::error::{TokenError, TokenErrorKind};

/// PEM: parsed in advance, or in files that are read for each request and may be
/// replaced.
#[derive(Clone)]
pub(super) enum Pem<T> {
    Parsed(T),
    Files(Vec<PathBuf>),
}

impl<T: Clone> Pem<T> {
    /// Returns what was parsed, or parses the contents of its files, which are the
    /// next of `contents`.
    pub(super) fn read<'a>(
        &self,
        contents: impl Iterator<Item = &'a Zeroizing<Vec<u8>>>,
        parse: impl FnOnce(&[u8]) -> Result<T, &'static str>,
    ) -> Result<T, TokenError> {
        let paths = match self {
            Self::Parsed(parsed) => return Ok(parsed.clone()),
            Self::Files(paths) => paths,
        };
        let texts: Vec<_> = contents.take(paths.len()).collect();
        // A certificate and its key may be in separate files.
        let length = texts.iter().map(|text| text.len() + 1).sum();
        let mut all = Zeroizing::new(Vec::with_capacity(length));
        for text in texts {
            all.extend_from_slice(text);
            all.push(b'\n');
        }
        parse(&all).map_err(|what| {
            let paths: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
            let what = format!("{} {what}", paths.join(" with "));
            TokenError::new(TokenErrorKind::Source, what)
        })
    }
}

/// Removes a byte order mark, which editors add and the parser does not expect.
fn without_mark(pem: &[u8]) -> &[u8] {
    pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem)
}

/// Reads a certificate with its chain and its private key, in any order.
pub(super) fn identity(pem: &[u8]) -> Result<Identity, &'static str> {
    Identity::from_pem(without_mark(pem))
        .map_err(|_| "is not PEM with a certificate and its private key")
}

/// Reads one or more certificates.
pub(super) fn roots(pem: &[u8]) -> Result<Vec<Certificate>, &'static str> {
    match Certificate::from_pem_bundle(without_mark(pem)) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err("is not PEM with a certificate"),
    }
}
