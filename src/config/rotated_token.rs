//! A file for the refresh token that a server rotated.
//!
//! The old token is worthless once there is a new one, so at any moment one of two
//! files holds the latest: the file itself, or a second one next to it, to which a
//! token is written first. The second one ends in a line end, which shows that it
//! was written completely.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{BoxError, ConfigError};
use crate::grant::Secret;
use crate::secret_file;
use crate::token::RefreshToken;

const FIELD: &str = "rotated_token_file";
/// As on Linux. More links than this are a cycle.
const MAX_LINKS: usize = 40;

/// Returns the latest token, or `None` if there is none yet.
pub(super) fn read(path: &Path) -> Result<Option<Secret>, ConfigError> {
    latest(&follow_links(path)).map_err(|error| {
        let reason = format!("{}: {error}", path.display());
        ConfigError::new(FIELD, reason)
    })
}

/// Checks that a token could be written, because the one that is in use is worthless by
/// then. Leaves nothing behind.
pub(super) fn check(path: &Path) -> Result<(), ConfigError> {
    is_writable(&follow_links(path)).map_err(|error| {
        let reason = format!("{} cannot be written: {error}", path.display());
        ConfigError::new(FIELD, reason)
    })
}

fn is_writable(path: &Path) -> io::Result<()> {
    let open = |path| OpenOptions::new().write(true).open(path);
    let Err(error) = open(path) else {
        return Ok(());
    };
    if path.is_dir() {
        return Err(error);
    }
    let new = beside(path);
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).open(&new) {
        Ok(_) => fs::remove_file(&new),
        // It may hold the latest token.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open(&new).map(drop),
        // What is wrong with the file says more, unless it is only missing.
        Err(other) if error.kind() == ErrorKind::NotFound => Err(other),
        Err(_) => Err(error),
    }
}

/// Writes the token to the file, readable by its owner only.
pub(super) async fn write(path: PathBuf, token: RefreshToken) -> Result<(), BoxError> {
    let written = tokio::task::spawn_blocking(move || replace(&follow_links(&path), &token));
    Ok(written.await??)
}

/// Resolves links: a link stays a link, and its target is replaced. The target need
/// not exist yet.
fn follow_links(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => break,
        }
    }
    path
}

/// Returns the path of the second file.
fn beside(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    new.into()
}

fn latest(path: &Path) -> io::Result<Option<Secret>> {
    // Complete but not moved: the process ended in between.
    let new = beside(path);
    if let Some(token) = read_whole(&new)? {
        // So that it does not override a token that is later put into the file by
        // hand.
        let _ = settle(&new, path, &token);
        return Ok(Some(token));
    }
    let bytes = match secret_file::read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let not_text = || io::Error::new(ErrorKind::InvalidData, "is not UTF-8");
    let text = std::str::from_utf8(&bytes).map_err(|_| not_text())?;
    // If the file was overwritten in place, the end of an older token may follow. A
    // file that is mounted by itself is empty at first.
    let first = text.lines().next().map(secret_file::trim);
    Ok(first.filter(|line| !line.is_empty()).map(Secret::from))
}

/// Returns the token in the second file, unless it is missing or incomplete.
fn read_whole(new: &Path) -> io::Result<Option<Secret>> {
    let bytes = match secret_file::read_bytes(new) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = bytes.strip_suffix(b"\n").filter(|text| !text.is_empty());
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    Ok(text.filter(|text| !text.contains('\0')).map(Secret::from))
}

fn replace(path: &Path, token: &RefreshToken) -> io::Result<()> {
    let (new, line) = (beside(path), line(token.secret()));
    let written = create(&new, true).and_then(|mut file| {
        file.write_all(&line)?;
        file.sync_all()
    });
    match written {
        Ok(()) => settle(&new, path, &Secret::from(token.secret())),
        // There is no place for a second file if only the file itself is mounted.
        Err(error) => {
            if overwrite(path, &line).is_err() {
                return Err(error);
            }
            let _ = fs::remove_file(&new);
            Ok(())
        }
    }
}

/// Replaces the file by the second file, which is complete.
fn settle(new: &Path, path: &Path, token: &Secret) -> io::Result<()> {
    if fs::rename(new, path).is_err() {
        // A file that is mounted by itself cannot be replaced (EBUSY), nor can one
        // on another file system (EXDEV). Until it is overwritten, the second one
        // holds the token.
        overwrite(path, &line(token.secret()))?;
        fs::remove_file(new)?;
    }
    sync_folder(path);
    Ok(())
}

fn line(token: &str) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(token.len() + 1));
    line.extend_from_slice(token.as_bytes());
    line.push(b'\n');
    line
}

/// Overwrites the file with the line in one call, and then truncates it to the
/// line's length: a process that ends in between leaves the whole line at the start.
fn overwrite(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = create(path, false)?;
    file.write_all(line)?;
    file.set_len(line.len() as u64)?;
    file.sync_all()
}

fn create(path: &Path, truncate: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(truncate);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the rename durable across a power cut, where the system supports it.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is removed at the end of the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("tower-bearer-rotated-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn token(text: &str) -> RefreshToken {
        RefreshToken::new(text).expect("a token")
    }

    fn held(path: &Path) -> Option<String> {
        let token = read(path).expect("readable");
        token.map(|token| token.secret().to_owned())
    }

    #[test]
    fn whenever_the_process_ends_the_latest_token_is_found() {
        let folder = Folder::new("crash");
        let path = folder.0.join("token");
        let new = beside(&path);
        for (second, first, found) in [
            (None, None, None),
            (None, Some(""), None),
            (None, Some("\n"), None),
            (None, Some("old"), Some("old")),
            (None, Some("\u{feff}old \r\n"), Some("old")),
            // The process ended while writing the second file.
            (Some(""), Some("old\n"), Some("old")),
            (Some("ne"), Some("old\n"), Some("old")),
            (Some("\n"), Some("old\n"), Some("old")),
            (Some("\0\0\0\n"), Some("old\n"), Some("old")),
            // Before the second file replaced the first.
            (Some("new\n"), Some("old\n"), Some("new")),
            (Some("new\n"), None, Some("new")),
            // While overwriting the first file.
            (Some("new\n"), Some("ne"), Some("new")),
            (None, Some("new\ner and longer\n"), Some("new")),
        ] {
            for (path, content) in [(&new, second), (&path, first)] {
                let _ = fs::remove_file(path);
                if let Some(content) = content {
                    fs::write(path, content).expect("written");
                }
            }
            assert_eq!(held(&path).as_deref(), found, "{second:?} {first:?}");
            // The replacement is completed, so that the token is not found again.
            assert_eq!(held(&path).as_deref(), found, "{second:?} {first:?}");
            if second.is_some_and(|it| it == "new\n") {
                assert!(!new.exists(), "{second:?} {first:?}");
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused_by_name_and_not_quoted() {
        let folder = Folder::new("fault");
        let path = folder.0.join("token");
        fs::write(&path, b"hunter2\xff").expect("written");
        let error = read(&path).expect_err("not UTF-8");
        assert_eq!(error.field(), FIELD);
        let shown = error.to_string();
        assert!(shown.contains("token: is not UTF-8"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[cfg(unix)]
    /// A folder that is a file stands for one that may not be written, which nothing is
    /// for root.
    #[test]
    fn a_file_that_cannot_be_written_is_refused_before_a_token_is_rotated() {
        let folder = Folder::new("check");
        let file = folder.0.join("file");
        fs::write(&file, "old\n").expect("written");
        let link = folder.0.join("link");
        let targets = [
            (file.clone(), true),
            (folder.0.join("missing"), true),
            (folder.0.join("no/folder/token"), false),
            (file.join("token"), false),
            (folder.0.clone(), false),
        ];
        for (path, is_writable) in &targets {
            assert_eq!(check(path).is_ok(), *is_writable, "{path:?}");
            #[cfg(unix)]
            {
                std::os::unix::fs::symlink(path, &link).expect("a link");
                assert_eq!(check(&link).is_ok(), *is_writable, "a link to {path:?}");
                fs::remove_file(&link).expect("removed");
            }
        }
        let error = check(&targets[2].0).expect_err("no folder");
        assert_eq!(error.field(), FIELD);
        assert!(error.to_string().contains("no/folder/token"), "{error}");
        fs::write(beside(&targets[1].0), "new\n").expect("written");
        check(&targets[1].0).expect("can be written");
        assert_eq!(held(&file).as_deref(), Some("old"));
        assert_eq!(held(&targets[1].0).as_deref(), Some("new"));
        assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 2);
    }

    #[test]
    fn a_link_stays_one_and_its_target_is_replaced() {
        use std::os::unix::fs::symlink;

        let folder = Folder::new("link");
        let (data, link) = (folder.0.join("data"), folder.0.join("link"));
        fs::create_dir(&data).expect("a folder");
        symlink("data/token", folder.0.join("middle")).expect("a link");
        symlink("middle", &link).expect("a link");
        // The link's target does not exist yet.
        assert_eq!(held(&link), None);
        for text in ["first", "second"] {
            replace(&follow_links(&link), &token(text)).expect("written");
            assert_eq!(held(&link).as_deref(), Some(text));
            let target = fs::read_to_string(data.join("token")).expect("the target");
            assert_eq!(target.trim_end(), text);
            assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        }
    }

    #[cfg(unix)]
    #[test]
    fn where_nothing_can_be_put_beside_it_the_file_itself_is_overwritten() {
        let folder = Folder::new("mount");
        let path = folder.0.join("token");
        fs::write(&path, "a much longer token than the new one\n").expect("written");
        // A folder that no file can replace takes the place of the second file.
        fs::create_dir(beside(&path)).expect("a folder");
        replace(&path, &token("short")).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("text"), "short\n");
    }

    #[test]
    fn where_the_file_cannot_be_replaced_it_is_overwritten_and_nothing_is_left() {
        let folder = Folder::new("busy");
        let (path, new) = (folder.0.join("token"), folder.0.join("elsewhere"));
        fs::write(&path, "old and longer\n").expect("written");
        // A rename that fails, as one over a mounted file does.
        assert!(settle(&new, &path, &Secret::from("new")).is_err());
        assert_eq!(fs::read_to_string(&path).expect("text"), "new\n");
    }
}
