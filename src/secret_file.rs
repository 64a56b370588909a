//! Reads a file that holds one secret: a password, a token, a key in PEM.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use zeroize::Zeroizing;

const MAX_BYTES: u64 = 1 << 20;

/// Returns the text of a file, [trimmed](trim). Blocks.
///
/// # Errors
///
/// Fails as [`read_bytes`] does, and if it is not UTF-8, or empty.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = read_bytes(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| fault("is not UTF-8"))?;
    match trim(text) {
        "" => Err(fault("is empty")),
        text => Ok(text.to_owned().into()),
    }
}

/// Returns the contents of a file, except a byte order mark at its start. Blocks.
///
/// # Errors
///
/// Fails if it cannot be read, or is larger than a mebibyte. No error quotes any of
/// it.
pub(crate) fn read_bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len().min(MAX_BYTES);
    // With spare room, so that it need not grow, which would leave the old buffer
    // behind, unwiped.
    let capacity = usize::try_from(length).unwrap_or_default() + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fault("is larger than a mebibyte"));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// Returns a number for the contents of these files, which differs between
/// processes. A file that cannot be read counts as empty. Blocks.
pub(crate) fn contents(paths: &[PathBuf]) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let contents: Vec<_> = paths.iter().map(|path| read_bytes(path).ok()).collect();
    KEYS.hash_one(contents.iter().map(Option::as_deref).collect::<Vec<_>>())
}

fn fault(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Removes what editors and shells add: a byte order mark at the start, line ends
/// and blanks at the end. Blanks at the start stay.
pub(crate) fn trim(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_end_matches(|c: char| c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_and_shells_add_is_cut_and_nothing_else() {
        for (text, secret) in [
            ("hunter2", "hunter2"),
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("hunter2 \t\n\n", "hunter2"),
            ("\u{feff}hunter2\r\n", "hunter2"),
            ("\u{feff}\u{feff}a", "\u{feff}a"),
            ("  two words ", "  two words"),
            ("a\nb\n", "a\nb"),
            ("\u{feff}\r\n", ""),
            (" \n", ""),
            ("", ""),
        ] {
            assert_eq!(trim(text), secret, "{text:?}");
        }
    }
}
