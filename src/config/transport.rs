//! The default transport from a configuration.

use super::source_config::SourceConfig;
use crate::error::ConfigError;

#[cfg(feature = "reqwest")]
use {
    super::client::{needed, only_one},
    crate::{secret_file, transport::DefaultTransport},
    std::path::Path,
    zeroize::Zeroizing,
};

impl SourceConfig {
    /// Returns the keys that only the default transport uses, and whether they are
    /// set.
    fn transport_keys(&self) -> [(&'static str, bool); 11] {
        [
            ("client_certificate", self.client_certificate.is_some()),
            ("root_certificates", self.root_certificates.is_some()),
            (
                "client_certificate_file",
                self.client_certificate_file.is_some(),
            ),
            ("client_key_file", self.client_key_file.is_some()),
            (
                "root_certificates_file",
                self.root_certificates_file.is_some(),
            ),
            ("keep_system_roots", self.keep_system_roots.is_some()),
            ("connect_timeout", self.connect_timeout.is_some()),
            ("proxy", self.proxy.is_some()),
            ("no_proxy", self.no_proxy.is_some()),
            ("http1_only", self.http1_only.is_some()),
            ("http2_only", self.http2_only.is_some()),
        ]
    }

    /// Refuses the keys that only the default transport uses.
    pub(super) fn check_transport(&self) -> Result<(), ConfigError> {
        match self
            .transport_keys()
            .into_iter()
            .find(|(_, is_set)| *is_set)
        {
            None => Ok(()),
            Some((name, _)) => {
                let reason = "is used by the default transport only";
                Err(ConfigError::new(name, reason))
            }
        }
    }
}

#[cfg(feature = "reqwest")]
impl SourceConfig {
    pub(super) fn default_transport(&self) -> Result<DefaultTransport, ConfigError> {
        let mut transport = DefaultTransport::new();
        if let Some(pem) = &self.client_certificate {
            let in_files = [
                ("client_certificate_file", &self.client_certificate_file),
                ("client_key_file", &self.client_key_file),
            ];
            if let Some((name, _)) = in_files.iter().find(|(_, path)| path.is_some()) {
                return Err(only_one(name, "client_certificate"));
            }
            transport = transport.client_certificate(pem.0.secret())?;
        } else if let Some(certificate) = &self.client_certificate_file {
            let mut pem = read("client_certificate_file", certificate)?;
            let mut paths = vec![certificate];
            if let Some(key) = &self.client_key_file {
                let key_pem = read("client_key_file", key)?;
                let mut both = Zeroizing::new(Vec::with_capacity(pem.len() + key_pem.len() + 1));
                both.extend_from_slice(&pem);
                both.push(b'\n');
                both.extend_from_slice(&key_pem);
                pem = both;
                paths.push(key);
            }
            // Finds an invalid certificate when the program starts.
            DefaultTransport::new().client_certificate(&*pem)?;
            transport = transport.client_certificate_files(paths);
        } else if self.client_key_file.is_some() {
            needed("client_certificate_file", None::<()>)?;
        }
        if let Some(pem) = &self.root_certificates {
            if self.root_certificates_file.is_some() {
                return Err(only_one("root_certificates_file", "root_certificates"));
            }
            transport = transport.root_certificates(&pem.0)?;
        } else if let Some(path) = &self.root_certificates_file {
            let pem = read("root_certificates_file", path)?;
            DefaultTransport::new().root_certificates(&*pem)?;
            transport = transport.root_certificates_file(path);
        }
        if is_set(&self.keep_system_roots) {
            transport = transport.keep_system_roots();
        }
        if let Some(timeout) = &self.connect_timeout {
            transport = transport.connect_timeout(timeout.0)?;
        }
        transport = match (&self.proxy, is_set(&self.no_proxy)) {
            (Some(_), true) => return Err(only_one("no_proxy", "proxy")),
            (Some(url), false) => transport.proxy(url.0.secret())?,
            (None, true) => transport.no_proxy(),
            (None, false) => transport,
        };
        match (is_set(&self.http1_only), is_set(&self.http2_only)) {
            (true, true) => Err(only_one("http2_only", "http1_only")),
            (true, false) => Ok(transport.http1_only()),
            (false, false) => Ok(transport),
            #[cfg(feature = "http2")]
            (false, true) => Ok(transport.http2_only()),
            #[cfg(not(feature = "http2"))]
            (false, true) => {
                let reason = "needs tower-bearer's feature `http2`";
                Err(ConfigError::new("http2_only", reason))
            }
        }
    }
}

#[cfg(feature = "reqwest")]
fn is_set(flag: &Option<super::values::Flag>) -> bool {
    flag.as_ref().is_some_and(|flag| flag.0)
}

#[cfg(feature = "reqwest")]
fn read(name: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    secret_file::read_bytes(path)
        .map_err(|error| ConfigError::new(name, format!("{}: {error}", path.display())))
}
