//! The settings of a store in files.

use std::fmt;
use std::path::PathBuf;

use super::file_store::FileStore;
use super::key_source::KeySource;
use super::place::Place;
use crate::error::ConfigError;
use crate::store::store_key::StoreKey;

/// Builder of a [`FileStore`], returned by [`FileStore::user_cache`] and
/// [`FileStore::folder`].
///
/// ```
/// use tower_bearer::store::{FileStore, StoreKey};
///
/// # let (new_key, old_key) = (StoreKey::from_bytes([2; 32]), StoreKey::from_bytes([1; 32]));
/// let store = FileStore::folder("/var/lib/my-service/tokens")
///     .key(new_key) // seals
///     .key(old_key) // opens what it sealed before
///     .build()?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct FileStoreBuilder {
    place: (&'static str, Place),
    keys: Vec<StoreKey>,
    key_file: Option<(&'static str, Place)>,
    #[cfg(feature = "keyring")]
    keyring: Option<(String, String)>,
    unsealed: bool,
}

impl FileStore {
    /// Returns a builder for a store of this user, in a folder that is named after
    /// the program, where the platform keeps caches: `~/.cache/my-tool/tokens`, or
    /// under `$XDG_CACHE_HOME`; `~/Library/Caches/my-tool/tokens` on macOS.
    ///
    /// A [`key`](FileStoreBuilder::key), a [`key_file`](FileStoreBuilder::key_file) or a
    /// [`user_key`](FileStoreBuilder::user_key) is required.
    ///
    /// ```
    /// use tower_bearer::store::FileStore;
    ///
    /// let store = FileStore::user_cache("my-tool").user_key("my-tool").build()?;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn user_cache(program: impl Into<String>) -> FileStoreBuilder {
        FileStoreBuilder::new(("user_cache", Place::UserCache(program.into())))
    }

    /// Returns a builder for a store in this folder, which is created with its
    /// parents on first use. It must belong to the user, no other user may be able
    /// to write to it, and it should contain nothing else.
    ///
    /// A [`key`](FileStoreBuilder::key), a [`key_file`](FileStoreBuilder::key_file) or a
    /// [`user_key`](FileStoreBuilder::user_key) is required.
    pub fn folder(path: impl Into<PathBuf>) -> FileStoreBuilder {
        FileStoreBuilder::new(("folder", Place::Path(path.into())))
    }
}

impl FileStoreBuilder {
    fn new(place: (&'static str, Place)) -> Self {
        Self {
            place,
            keys: Vec::new(),
            key_file: None,
            #[cfg(feature = "keyring")]
            keyring: None,
            unsealed: false,
        }
    }

    /// Adds a key. The first one encrypts, all of them decrypt. An entry that no key
    /// decrypts counts as absent and is replaced.
    pub fn key(mut self, key: StoreKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Reads the key from this file on first use of the store, creating it if there
    /// is none: 32 random bytes as text, readable only for the user. A file that
    /// others can read, or a link, is refused; [`StoreKey::from_file`] accepts
    /// those.
    ///
    /// A user who can read both the file and the store can read the tokens: keep
    /// them apart, so that a copy of one is of no use.
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_file = Some(("key_file", Place::Path(path.into())));
        self
    }

    /// Does what [`key_file`](Self::key_file) does, with a file where the platform
    /// keeps a program's data: `~/.local/share/my-tool/token-store.key`, or under
    /// `$XDG_DATA_HOME`; `~/Library/Application Support` on macOS. Unlike the cache,
    /// that is not deleted to make room.
    pub fn user_key(mut self, program: impl Into<String>) -> Self {
        self.key_file = Some(("user_key", Place::UserData(program.into())));
        self
    }

    /// Reads the key from the platform's keyring on first use of the store, creating
    /// the entry of this service and user if there is none. Needs the feature
    /// `keyring`.
    ///
    /// The program chooses the keyring once, at its start, with
    /// `keyring_core::set_default_store` and the crate of its platform:
    /// `zbus-secret-service-keyring-store` for the desktops of Linux,
    /// `apple-native-keyring-store` for macOS. If the keyring is locked or cannot be
    /// reached, the process works without the store, and an event gives the reason.
    ///
    /// ```
    /// use tower_bearer::store::FileStore;
    ///
    /// // In a test: a keyring in memory.
    /// keyring_core::set_default_store(keyring_core::mock::Store::new()?);
    /// let store = FileStore::user_cache("my-tool").keyring("my-tool", "token store").build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "keyring")]
    pub fn keyring(mut self, service: impl Into<String>, user: impl Into<String>) -> Self {
        self.keyring = Some((service.into(), user.into()));
        self
    }

    /// Leaves the tokens readable to anyone who can read the files: other programs
    /// of the user, the administrator, backups. Where a password was refused, a
    /// reader can also use the files to try passwords.
    pub fn unsealed(mut self) -> Self {
        self.unsealed = true;
        self
    }

    /// Builds the store. It touches no file before its first use, which needs a
    /// tokio runtime; building it does not.
    ///
    /// # Errors
    ///
    /// Fails if there is no key and [`unsealed`](Self::unsealed) was not called, if
    /// there are several kinds of key, if the program's name is not a single part of
    /// a path, or if the user has no home folder.
    pub fn build(self) -> Result<FileStore, ConfigError> {
        let (field, place) = self.place;
        let path = place.path(field)?;
        let mut keys = self.keys.into_iter();
        let mut sources = Vec::new();
        if let Some(first) = keys.next() {
            sources.push(KeySource::Keys(first, keys.collect()));
        }
        if let Some((field, place)) = self.key_file {
            sources.push(KeySource::File(place.path(field)?));
        }
        #[cfg(feature = "keyring")]
        if let Some((service, user)) = self.keyring {
            sources.push(KeySource::Keyring(service, user));
        }
        if self.unsealed {
            sources.push(KeySource::Unsealed);
        }
        let why = match (sources.pop(), sources.is_empty()) {
            (Some(source), true) => return Ok(FileStore::new(path, source)),
            (None, _) => "a key is required, or `unsealed`",
            _ => "only one of `key`, `key_file`, `user_key`, `keyring` and `unsealed` makes sense",
        };
        Err(ConfigError::new("key", why))
    }
}

impl fmt::Debug for FileStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStoreBuilder")
            .field("place", &self.place.1)
            .field("keys", &self.keys.len())
            .field("key_file", &self.key_file.as_ref().map(|it| &it.1))
            .field("unsealed", &self.unsealed)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_without_a_key_or_a_place_is_refused_by_name() {
        let key = || StoreKey::from_bytes([1; 32]);
        let folder = || FileStore::folder("tokens");
        for (builder, field) in [
            (folder(), "key"),
            (folder().key(key()).unsealed(), "key"),
            (folder().key(key()).key_file("key"), "key"),
            (folder().key_file("key").unsealed(), "key"),
            (folder().key_file(""), "key_file"),
            (folder().user_key("a/b"), "user_key"),
            (FileStore::folder("").key(key()), "folder"),
            (FileStore::user_cache("..").key(key()), "user_cache"),
        ] {
            let error = builder.build().expect_err(field);
            assert_eq!(error.field(), field, "{error}");
        }
        for builder in [
            folder().unsealed(),
            folder().key(key()).key(key()),
            folder().key_file("key"),
            FileStore::user_cache("my-tool").user_key("my-tool"),
        ] {
            assert!(format!("{builder:?}").contains("keys: "));
            builder.build().expect("a store");
        }
    }
}
