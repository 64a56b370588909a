//! The source of the key that the files are sealed with.

use std::path::{Path, PathBuf};

#[cfg(feature = "keyring")]
use zeroize::Zeroizing;

use super::error::Error;
use super::folder::Folder;
use crate::error::ConfigError;
use crate::store::seal::Sealer;
use crate::store::store_key::StoreKey;

pub(super) enum KeySource {
    /// Keys, of which the first one seals and all of them open.
    Keys(StoreKey, Vec<StoreKey>),
    /// A file, which is created when the key is first needed.
    File(PathBuf),
    /// An entry of the platform's keyring, by service and user, which is created
    /// when the key is first needed.
    #[cfg(feature = "keyring")]
    Keyring(String, String),
    /// A key that is public: accidental changes are noticed, and that is all.
    Unsealed,
}

impl KeySource {
    /// Reads or creates the key of the store in this folder. Blocks. `is_wanted`
    /// returns whether the caller still waits for it.
    #[cfg_attr(not(feature = "keyring"), expect(unused_variables))]
    pub(super) fn sealer(
        &self,
        store: &Path,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Sealer, Error> {
        Ok(match self {
            Self::Keys(first, others) => Sealer::new(first, others),
            Self::File(path) => Sealer::new(&read_or_make(path)?, &[]),
            #[cfg(feature = "keyring")]
            Self::Keyring(service, user) => {
                let entry = keyring_core::Entry::new(service, user).map_err(keyring_error)?;
                let key = match read_entry(&entry)? {
                    Some(key) => key,
                    None => make_entry(&entry, &Folder::open_or_make(store)?, is_wanted)?,
                };
                Sealer::new(&key, &[])
            }
            Self::Unsealed => Sealer::new(&StoreKey::from_bytes([0; 32]), &[]),
        })
    }
}

fn read_or_make(path: &Path) -> Result<StoreKey, Error> {
    let no_name = || Error::refused(path, "it is no file");
    let name = path.file_name().and_then(|it| it.to_str());
    let (Some(parent), Some(name)) = (path.parent(), name) else {
        return Err(no_name());
    };
    let folder = Folder::open_or_make(parent)?;
    if let Some((contents, _)) = folder.read(name)? {
        return StoreKey::from_contents(&contents).map_err(Error::Key);
    }
    let key = generate()?;
    // If several processes create it at the same time, the first one wins.
    let temporary = format!(".{name}.{:016x}", fastrand::u64(..));
    folder.make_once(
        (name, &temporary),
        format!("{}\n", *key.to_text()).into_bytes(),
    )?;
    let (contents, _) = folder.read(name)?.ok_or_else(no_name)?;
    StoreKey::from_contents(&contents).map_err(Error::Key)
}

fn generate() -> Result<StoreKey, Error> {
    let why = "the system returned no random numbers";
    StoreKey::generate().ok_or_else(|| Error::Key(ConfigError::new("key", why)))
}

/// Reads the key; `None` if the keyring has no such entry.
#[cfg(feature = "keyring")]
fn read_entry(entry: &keyring_core::Entry) -> Result<Option<StoreKey>, Error> {
    match entry.get_password() {
        Ok(text) => Ok(Some(Zeroizing::new(text).parse().map_err(Error::Key)?)),
        Err(keyring_core::Error::NoEntry) => Ok(None),
        Err(error) => Err(keyring_error(error)),
    }
}

/// Creates the key. In a keyring the last writer wins, so the processes that share a
/// store take turns.
#[cfg(feature = "keyring")]
fn make_entry(
    entry: &keyring_core::Entry,
    store: &Folder,
    is_wanted: &dyn Fn() -> bool,
) -> Result<StoreKey, Error> {
    let _lock = store.lock("keyring.lock", is_wanted)?;
    if let Some(key) = read_entry(entry)? {
        return Ok(key);
    }
    let key = generate()?;
    entry.set_password(&key.to_text()).map_err(keyring_error)?;
    Ok(key)
}

/// Keeps only the error's text, because the error may hold what the entry holds.
#[cfg(feature = "keyring")]
fn keyring_error(error: keyring_core::Error) -> Error {
    let why = match error {
        keyring_core::Error::NoDefaultStore => {
            "the program has chosen none: call `keyring_core::set_default_store` first".to_owned()
        }
        error => error.to_string(),
    };
    Error::Key(ConfigError::new("keyring", why))
}
