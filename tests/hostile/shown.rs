//! Everything that an error shows, and which parts of it came from outside.

use std::collections::HashSet;
use std::error::Error;
use std::hash::{DefaultHasher, Hasher};

use tower_bearer::TokenError;

/// `Display` and `Debug` of an error and of all its sources.
pub(crate) fn whole(error: &TokenError) -> String {
    let mut shown = String::new();
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        shown += &format!("{error}\n{error:?}\n{error:#?}\n");
        next = error.source();
    }
    shown
}

/// The same without what is shown on purpose: status, `error` code and pause of a
/// response, and the origin of a redirect.
fn words(error: &TokenError) -> String {
    let mut shown = String::new();
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        // One field a line.
        shown += &format!("{error}\n{error:#?}\n");
        next = error.source();
    }
    if let Some(code) = error.oauth_error() {
        shown = shown.replace(code, "<code>");
    }
    if let Some(pause) = error.retry_after() {
        shown = shown.replace(&format!("{pause:?}"), "<pause>");
    }
    if let Some(status) = error.status() {
        shown = shown.replace(status.as_str(), "<status>");
    }
    let mut parts = shown.split(REDIRECT);
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([' ', '"', '\n']).unwrap_or(part.len());
        words = words + REDIRECT + &part[end..];
    }
    words
}

const REDIRECT: &str = "a redirect to another origin, ";

/// The words of errors about harmless input.
///
/// Kept as hashes: a fuzzer sees what is compared, and would put the words of errors
/// into its input.
pub(crate) struct Words {
    window: usize,
    pieces: HashSet<u64>,
}

impl Words {
    /// `window`: this many bytes in a row are not a coincidence.
    pub(crate) fn of(window: usize, errors: &[TokenError]) -> Self {
        let pieces = errors
            .iter()
            .flat_map(|error| pieces(window, &words(error)))
            .collect();
        Self { window, pieces }
    }

    /// Fails if the error shows a piece of what came from outside that is not
    /// among these words.
    pub(crate) fn are_all_of(&self, error: &TokenError, outside: &[u8]) {
        let shown = words(error);
        let foreign: HashSet<_> = pieces(self.window, &shown)
            .into_iter()
            .filter(|piece| !self.pieces.contains(piece))
            .collect();
        if foreign.is_empty() {
            return;
        }
        for piece in outside.windows(self.window) {
            let text = String::from_utf8_lossy(piece);
            assert!(
                !foreign.contains(&hash(piece)),
                "an error quotes {text:?}: {shown}"
            );
        }
    }
}

fn pieces(window: usize, shown: &str) -> Vec<u64> {
    let lines = shown.lines().map(|line| line.trim().as_bytes());
    lines
        .flat_map(|line| line.windows(window).map(hash))
        .collect()
}

fn hash(piece: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(piece);
    hasher.finish()
}
