//! The place of the files.

use std::path::{Component, Path, PathBuf};

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};

use crate::error::ConfigError;

/// A folder that the program chose, or one of the user's by the program's name.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Path(PathBuf),
    /// In the folder for caches.
    UserCache(String),
    /// In the folder for a program's data.
    UserData(String),
}

impl Place {
    /// Returns the path, which must be absolute, because programs change their
    /// working directory.
    pub(super) fn path(&self, field: &'static str) -> Result<PathBuf, ConfigError> {
        let refused = |why: String| Err(ConfigError::new(field, why));
        let user = |name: &str, folder: fn(&dyn Folders) -> PathBuf| {
            if !is_file_name(name) {
                return refused(format!("{name:?} is not the name of a program"));
            }
            match choose_native_strategy() {
                Ok(folders) => Ok(folder(&folders).join(name)),
                Err(_) => refused("the user has no home folder".to_owned()),
            }
        };
        let path = match self {
            Self::Path(path) => path.clone(),
            Self::UserCache(name) => user(name, |it| it.cache())?.join("tokens"),
            Self::UserData(name) => user(name, |it| it.data())?.join("token-store.key"),
        };
        if path.as_os_str().is_empty() {
            return refused("the path is empty".to_owned());
        }
        std::path::absolute(&path).or_else(|error| refused(error.to_string()))
    }
}

/// [`BaseStrategy`] as a trait object.
trait Folders {
    fn cache(&self) -> PathBuf;
    fn data(&self) -> PathBuf;
}

impl<S: BaseStrategy> Folders for S {
    fn cache(&self) -> PathBuf {
        self.cache_dir()
    }

    fn data(&self) -> PathBuf {
        self.data_dir()
    }
}

fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let first = parts.next();
    matches!(first, Some(Component::Normal(part)) if part == name) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_one_part_of_a_path() {
        for name in ["my-tool", "my tool", ".hidden", "a.b"] {
            assert!(is_file_name(name), "{name}");
        }
        for name in ["", ".", "..", "/", "a/b", "a/", "/a", "../a"] {
            assert!(!is_file_name(name), "{name}");
        }
    }
}
