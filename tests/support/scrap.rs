//! Temporary files of a test.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::PathBuf;

use tower_bearer::grant::SecretFile;

/// The path of a file that is gone when the test is over.
pub(crate) struct Scrap(pub(crate) PathBuf);

impl Scrap {
    /// Returns a file of this name in the folder for temporary files. It does not
    /// exist yet.
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("tower-bearer-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn with(name: &str, content: &str) -> Self {
        let scrap = Self::new(name);
        scrap.write(content);
        scrap
    }

    pub(crate) fn write(&self, content: impl AsRef<[u8]>) {
        std::fs::write(&self.0, content).expect("written");
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a path in Unicode")
    }

    pub(crate) fn secret(&self) -> SecretFile {
        SecretFile::new(&self.0)
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
