//! A file for the refresh token that a server rotated.

use std::fs::{File, OpenOptions, rename};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{BoxError, ConfigError};
use crate::grant::{Secret, SecretFile};
use crate::token::RefreshToken;

const FIELD: &str = "rotated_token_file";

/// Returns the token in the file, or `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Secret>, ConfigError> {
    match SecretFile::new(path).read() {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let reason = format!("{}: {error}", path.display());
            Err(ConfigError::new(FIELD, reason))
        }
    }
}

/// Writes the token to the file, readable by its owner only. It is written to a
/// second file first, so that the old token or the new one is there at any
/// moment.
pub(super) async fn write(path: PathBuf, token: RefreshToken) -> Result<(), BoxError> {
    let written = tokio::task::spawn_blocking(move || {
        let mut new = path.clone().into_os_string();
        new.push(".new");
        let mut file = create(Path::new(&new))?;
        file.write_all(token.secret().as_bytes())?;
        file.sync_all()?;
        rename(&new, &path)
    });
    Ok(written.await??)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
