//! Folders for tests, and their contents.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tower_bearer::store::{FileStore, StoreKey};

/// A folder for one test, which is removed with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-bearer-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o755).create(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.0.join("tokens")
    }

    pub(crate) fn store(&self) -> FileStore {
        self.store_with(1)
    }

    /// A store in the same folder with another key.
    pub(crate) fn store_with(&self, key: u8) -> FileStore {
        let builder = FileStore::folder(self.folder()).key(StoreKey::from_bytes([key; 32]));
        builder.build().expect("a store")
    }

    /// All files in the folders of the store, whose names end so.
    pub(crate) fn files(&self, end: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for folder in fs::read_dir(self.folder()).into_iter().flatten().flatten() {
            for file in fs::read_dir(folder.path()).expect("a folder").flatten() {
                let path = file.path();
                if path.to_string_lossy().ends_with(end) {
                    files.push(path);
                }
            }
        }
        files
    }

    /// The only file that holds entries.
    pub(crate) fn entries(&self) -> PathBuf {
        let files = self.files(".tokens");
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    let metadata = fs::symlink_metadata(path).expect("a file");
    metadata.permissions().mode() & 0o777
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of ours");
}
