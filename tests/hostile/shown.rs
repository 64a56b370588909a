//! All that an error shows, and what of it came from outside.

use std::collections::HashSet;
use std::error::Error;

use tower_bearer::TokenError;

/// So many bytes in a row are no accident.
const WINDOW: usize = 6;

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

/// The same without what is shown on purpose: the `error` code of an answer,
/// and the origin of a redirect.
fn words(error: &TokenError) -> String {
    let mut shown = whole(error);
    if let Some(code) = error.oauth_error() {
        shown = shown.replace(code, "<code>");
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

/// Fails if the error shows a piece of what came from outside, other than words
/// that errors which saw none of it use too.
pub(crate) fn quotes_nothing(error: &TokenError, outside: &[u8], vocabulary: &HashSet<Vec<u8>>) {
    let shown = words(error);
    let foreign: HashSet<&[u8]> = shown
        .as_bytes()
        .windows(WINDOW)
        .filter(|piece| !vocabulary.contains(*piece))
        .collect();
    if foreign.is_empty() {
        return;
    }
    for piece in outside.windows(WINDOW) {
        let text = String::from_utf8_lossy(piece);
        assert!(
            !foreign.contains(piece),
            "an error quotes {text:?}: {shown}"
        );
    }
}

/// The pieces of the words that these errors use.
pub(crate) fn vocabulary(errors: impl IntoIterator<Item = TokenError>) -> HashSet<Vec<u8>> {
    let mut pieces = HashSet::new();
    for error in errors {
        pieces.extend(
            words(&error)
                .into_bytes()
                .windows(WINDOW)
                .map(<[u8]>::to_vec),
        );
    }
    pieces
}
