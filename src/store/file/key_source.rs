//! Where the key comes from that the files are sealed with.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::folder::Folder;
use crate::error::ConfigError;
use crate::store::seal::Sealer;
use crate::store::store_key::StoreKey;

pub(super) enum KeySource {
    /// The first one seals, all of them open.
    Keys(StoreKey, Vec<StoreKey>),
    /// A file, which is made when the key is first needed.
    File(PathBuf),
    /// A key that everybody knows: what was changed by accident is noticed, and that is
    /// all.
    Unsealed,
}

impl KeySource {
    /// Reads or makes the key. Blocks.
    pub(super) fn sealer(&self) -> Result<Sealer, Error> {
        Ok(match self {
            Self::Keys(first, others) => Sealer::new(first, others),
            Self::File(path) => Sealer::new(&read_or_make(path)?, &[]),
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
    let Some(key) = StoreKey::generate() else {
        let why = "the system returned no random numbers";
        return Err(Error::Key(ConfigError::new("key_file", why)));
    };
    // Of processes that make it at the same time the first one wins.
    let temporary = format!(".{name}.{:016x}", fastrand::u64(..));
    folder.make_once(
        (name, &temporary),
        format!("{}\n", *key.to_text()).into_bytes(),
    )?;
    let (contents, _) = folder.read(name)?.ok_or_else(no_name)?;
    StoreKey::from_contents(&contents).map_err(Error::Key)
}
