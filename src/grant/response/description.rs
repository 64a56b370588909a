//! A server's description of its refusal, for an operator, without what was sent.

use std::collections::HashMap;
use std::ops::Range;

use zeroize::Zeroizing;

use crate::grant::params::Sent;
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
    let mut removed = vec![false; text.len()];
    for view in [View::of(text), View::unescaped(text)] {
        view.mark(sent, &mut removed);
    }
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

/// A text as it is searched: in lower case, with a space for a plus, which a form has
/// for one.
struct View {
    bytes: Zeroizing<Vec<u8>>,
    /// Where in the text each byte comes from.
    from: Vec<Range<usize>>,
}

impl View {
    fn of(text: &str) -> Self {
        Self::read(text, |_| None)
    }

    /// Reads escapes as the characters that they stand for: those of URLs, of HTML, and
    /// backslashes.
    fn unescaped(text: &str) -> Self {
        Self::read(text, unescape)
    }

    fn read(text: &str, unescape: impl Fn(&str) -> Option<(Unescaped, usize)>) -> Self {
        // Lower case is at most half as long again, so the buffer never grows and leaves
        // a copy behind.
        let mut view = Self {
            bytes: Zeroizing::new(Vec::with_capacity(2 * text.len())),
            from: Vec::with_capacity(2 * text.len()),
        };
        let mut at = 0;
        while let Some(first) = text[at..].chars().next() {
            let plain = (Unescaped::Char(first), first.len_utf8());
            let (read, length) = unescape(&text[at..]).unwrap_or(plain);
            let from = at..at + length;
            match read {
                Unescaped::Byte(byte) => view.push(&[byte], &from),
                Unescaped::Char(c) => {
                    for c in c.to_lowercase() {
                        view.push(c.encode_utf8(&mut [0; 4]).as_bytes(), &from);
                    }
                }
            }
            at = from.end;
        }
        view
    }

    fn push(&mut self, bytes: &[u8], from: &Range<usize>) {
        for byte in bytes {
            let byte = if *byte == b'+' { b' ' } else { *byte };
            self.bytes.push(byte.to_ascii_lowercase());
            self.from.push(from.clone());
        }
    }

    /// Marks the bytes of the text that were sent.
    fn mark(&self, sent: &Sent<'_>, removed: &mut [bool]) {
        let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (at, window) in self.bytes.windows(WINDOW).enumerate() {
            places.entry(window).or_default().push(at);
        }
        let mut mark = |at: usize, length: usize| {
            for from in &self.from[at..at + length] {
                removed[from.clone()].fill(true);
            }
        };
        let values = sent.secrets.iter().map(|secret| (*secret, true));
        let values = values.chain(sent.names.iter().map(|name| (*name, false)));
        for (value, is_secret) in values {
            let value = Self::of(value).bytes;
            for window in value.windows(WINDOW) {
                let found = places.get(window).into_iter().flatten();
                found.for_each(|at| mark(*at, WINDOW));
            }
            for at in self.find(&value) {
                if is_secret || self.is_word(at, value.len()) {
                    mark(at, value.len());
                }
            }
            let pieces = value.split(|byte| !byte.is_ascii_alphanumeric() && byte.is_ascii());
            let pieces = pieces.filter(|piece| is_secret && piece.len() >= MIN_PIECE);
            for piece in pieces {
                self.find(piece).for_each(|at| mark(at, piece.len()));
            }
        }
    }

    /// Returns where these bytes occur.
    fn find(&self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let places = self.bytes.windows(bytes.len().max(1)).enumerate();
        places.filter_map(move |(at, found)| (found == bytes).then_some(at))
    }

    fn is_word(&self, at: usize, length: usize) -> bool {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
        let before = at.checked_sub(1).and_then(|at| self.bytes.get(at));
        !before.is_some_and(is_part) && !self.bytes.get(at + length).is_some_and(is_part)
    }
}

/// What an escape stands for.
#[derive(Clone, Copy)]
enum Unescaped {
    Byte(u8),
    Char(char),
}

/// Returns what the escape at the start of a text stands for, and its length.
fn unescape(text: &str) -> Option<(Unescaped, usize)> {
    let rest = text.get(1..)?;
    match text.as_bytes().first()? {
        b'%' => {
            let hex = rest.get(..2).filter(|hex| is_hex(hex))?;
            let byte = u8::from_str_radix(hex, 16).ok()?;
            Some((Unescaped::Byte(byte), 3))
        }
        b'&' => {
            let name = rest.split(';').next().filter(|name| name.len() <= 8)?;
            rest.as_bytes()
                .get(name.len())
                .filter(|end| **end == b';')?;
            let c = match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => reference(name.strip_prefix('#')?)?,
            };
            Some((Unescaped::Char(c), name.len() + 2))
        }
        b'\\' => match rest.chars().next()? {
            'u' => {
                let hex = rest.get(1..5).filter(|hex| is_hex(hex))?;
                let c = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
                Some((Unescaped::Char(c), 6))
            }
            c => c.is_ascii_punctuation().then_some((Unescaped::Char(c), 2)),
        },
        _ => None,
    }
}

/// Returns the character of a numeric reference in HTML, without `&#` and `;`.
fn reference(number: &str) -> Option<char> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) if is_hex(hex) => u32::from_str_radix(hex, 16).ok()?,
        Some(_) => return None,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
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

    /// Whatever wrote the description may have escaped what it quotes.
    #[test]
    fn what_was_sent_is_found_however_it_is_escaped() {
        for (secret, escaped) in [
            ("12 34", "12%2034"),
            ("12 34", "12+34"),
            ("12+34", "12%2b34"),
            ("a&b", "a%26b"),
            ("a&b", "a&amp;b"),
            ("k<9&\"Zq>", "k&lt;9&amp;&quot;Zq&gt;"),
            ("k<9&\"Zq>", "k&#60;9&#38;&#34;zq&#x3E;"),
            ("k<9&\"Zq>", "k%3C9%26%22Zq%3E"),
            ("it's", "it&apos;s"),
            ("it's", "it\\'s"),
            ("c:\\n\"q", "c:\\\\n\\\"q"),
            ("c:\\n\"q", "c:\\u005cn\\u0022q"),
            ("a%41b", "a%41b"),
            ("a%41b", "a%2541b"),
            ("p\u{e4}ssw\u{f6}rd", "P\u{c4}SSW\u{d6}RD"),
            ("\u{43f}\u{430}", "\u{41f}\u{410}"),
            ("\u{e9}", "%C3%A9"),
            ("\u{130}x", "i\u{307}X"),
        ] {
            let sent = Sent {
                secrets: vec![secret],
                names: Vec::new(),
            };
            let text = format!("no: {escaped}, sorry");
            assert_eq!(clean(&text, &sent), "no: …, sorry", "{secret} {escaped}");
        }
        for text in [
            "100% of &amp; &; &#x; &#99999999; %yy %",
            "a\\",
            "\\u12",
            "\\é&é;",
        ] {
            assert_eq!(cleaned(text), text);
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
