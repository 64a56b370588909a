//! A server's description of its refusal, for an operator, without what was sent.

use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::grant::params::{Sent, encode};
use crate::grant::response::body::Members;

/// How many characters of a description are kept.
const MAX_LENGTH: usize = 1000;
/// This many bytes of something that was sent do not occur by accident.
const WINDOW: usize = 6;
/// Shorter pieces of a secret occur in ordinary words.
const MIN_PIECE: usize = 4;
const REMOVED: char = '…';

/// A server's members besides `error` (RFC 6749, section 5.2).
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::grant) struct Description {
    pub(in crate::grant) text: Option<String>,
    pub(in crate::grant) uri: Option<String>,
}

/// Returns the description in a response. Servers that do not know RFC 6749 write a
/// sentence as the `error`, a `message`, or a `detail` (RFC 9457).
pub(in crate::grant) fn read(members: &Members, sent: &Sent<'_>) -> Description {
    let sentence = || members.code().filter(|code| code.contains(' '));
    let text = members
        .text("error_description")
        .or_else(sentence)
        .or_else(|| members.text("message"))
        .or_else(|| members.text("detail"))
        .map(|text| clean(text, sent));
    // A part of a URI is of no use, so it is kept whole or not at all.
    let uri = members.text("error_uri");
    let uri = uri.filter(|uri| clean(uri, sent) == **uri);
    Description {
        text: text.filter(|text| !text.is_empty()),
        uri: uri.map(str::to_owned).filter(|uri| !uri.is_empty()),
    }
}

/// Removes what was sent and control characters, and truncates the rest.
fn clean(text: &str, sent: &Sent<'_>) -> String {
    let removed = removed(&text.to_ascii_lowercase(), sent);
    let mut cleaned = String::new();
    for (at, c) in text.char_indices() {
        if removed[at..at + c.len_utf8()].contains(&true) {
            if !cleaned.ends_with(REMOVED) {
                cleaned.push(REMOVED);
            }
        } else {
            cleaned.push(if c.is_control() { ' ' } else { c });
        }
    }
    let cleaned = cleaned.trim();
    match cleaned.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{}{REMOVED}", &cleaned[..end]),
        None => cleaned.to_owned(),
    }
}

/// Marks the bytes of a lower-case text that were sent.
fn removed(text: &str, sent: &Sent<'_>) -> Vec<bool> {
    let mut removed = vec![false; text.len()];
    let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, window) in text.as_bytes().windows(WINDOW).enumerate() {
        places.entry(window).or_default().push(at);
    }
    let mut mark = |at: usize, length: usize| removed[at..at + length].fill(true);
    let values = sent.secrets.iter().map(|secret| (*secret, true));
    let values = values.chain(sent.names.iter().map(|name| (*name, false)));
    for (value, is_secret) in values {
        // ASCII keeps its length, so no buffer grows and leaves a copy behind.
        let plain = Zeroizing::new(value.to_ascii_lowercase());
        let mut encoded = Zeroizing::new(Vec::with_capacity(3 * value.len()));
        encoded.extend(encode(value).map(|byte| byte.to_ascii_lowercase()));
        for form in [plain.as_bytes(), &encoded] {
            for window in form.windows(WINDOW) {
                let found = places.get(window).into_iter().flatten();
                found.for_each(|at| mark(*at, WINDOW));
            }
        }
        for (at, found) in text.match_indices(plain.as_str()) {
            let is_word = || {
                let (before, after) = (&text[..at], &text[at + found.len()..]);
                !before.ends_with(char::is_alphanumeric)
                    && !after.starts_with(char::is_alphanumeric)
            };
            if is_secret || is_word() {
                mark(at, found.len());
            }
        }
        let pieces = plain.split(|c: char| !c.is_ascii_alphanumeric());
        let pieces = pieces.filter(|piece| is_secret && piece.len() >= MIN_PIECE);
        for piece in pieces {
            let found = text.match_indices(piece);
            found.for_each(|(at, _)| mark(at, piece.len()));
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        let sent = Sent {
            secrets: vec!["hunter2+pass", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "zz", ""],
            names: vec!["me", "me.too@example.com", ""],
        };
        clean(text, &sent)
    }

    #[test]
    fn what_was_sent_is_not_in_a_description() {
        for (text, left) in [
            (
                "AADSTS7000222: The provided client secret keys for app are expired.",
                "AADSTS7000222: The provided client secret keys for app are expired.",
            ),
            ("no hunter2+pass!", "no …!"),
            ("HUNTER2%2BPASS", "…"),
            ("hunter2", "…"),
            ("was hunter and", "was … and"),
            ("'pass' is wrong", "'…' is wrong"),
            ("token eyJhbGciOiJSUz is bad", "token … is bad"),
            ("zz, fizzy", "…, fi…y"),
            ("me: no name", "…: no name"),
            ("user me.too@example.com", "user …"),
            ("user me.too%40example.com", "user …"),
            ("user ME.TOO", "user …"),
            ("é☃hunter2☃", "é☃…☃"),
            ("a\r\nb\u{0}\u{9b}c\n", "a  b  c"),
            ("", ""),
        ] {
            assert_eq!(cleaned(text), left, "{text}");
        }
    }

    #[test]
    fn a_long_description_is_cut() {
        assert_eq!(cleaned(&"é".repeat(MAX_LENGTH)).chars().count(), MAX_LENGTH);
        let cut = cleaned(&"é".repeat(60_000));
        assert_eq!(cut.chars().count(), MAX_LENGTH + 1);
    }

    #[test]
    fn the_description_is_where_servers_write_it() {
        for (json, text, uri) in [
            (r#"{"error":"invalid_grant"}"#, None, None),
            (
                r#"{"error":"x","error_description":"Why","error_uri":"https://a.example/e"}"#,
                Some("Why"),
                Some("https://a.example/e"),
            ),
            (
                r#"{"error":"Bad credentials"}"#,
                Some("Bad credentials"),
                None,
            ),
            (
                r#"{"message":"Bad credentials"}"#,
                Some("Bad credentials"),
                None,
            ),
            (r#"{"title":"x","detail":"Why"}"#, Some("Why"), None),
            (r#"{"error_description":["Why"]}"#, None, None),
            (
                r#"{"error_uri":"https://a.example/?p=hunter2"}"#,
                None,
                None,
            ),
        ] {
            let members = Members::parse_json(json.as_bytes()).expect(json);
            let sent = Sent {
                secrets: vec!["hunter2"],
                names: Vec::new(),
            };
            let found = read(&members, &sent);
            assert_eq!(found.text.as_deref(), text, "{json}");
            assert_eq!(found.uri.as_deref(), uri, "{json}");
        }
    }
}
