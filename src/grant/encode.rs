//! The encoding of a form.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What `curl --data-urlencode` and Python's `urlencode` escape: all but the
/// unreserved characters of RFC 3986, section 2.3, and the space, which becomes
/// a plus. The URL standard's serializer would escape `~` and leave `*`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b' ');

/// A text, form-urlencoded.
pub(super) fn encode(text: &str) -> impl Iterator<Item = u8> {
    percent_encode(text.as_bytes(), ESCAPED)
        .flat_map(str::bytes)
        .map(|byte| if byte == b' ' { b'+' } else { byte })
}
