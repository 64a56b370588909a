//! Takes escapes out of JSON that need not be there.

/// Writes `\/` and `\u00XX` of printable ASCII as the character itself, in
/// place, and leaves everything else as it is.
///
/// A JSON parser unescapes into a buffer of its own, which nobody wipes. Some
/// servers escape the `/` or the `+` of a token; without escapes the parser
/// takes a text as it stands.
pub(super) fn simplify(json: &mut [u8]) -> usize {
    let (mut from, mut to, mut quoted) = (0, 0, false);
    while from < json.len() {
        let (byte, length) = match json[from] {
            b'\\' if quoted => match plain(&json[from..]) {
                Some(plain) => plain,
                None => {
                    // Kept, with what it escapes: a quote, for one.
                    json[to] = b'\\';
                    (from, to) = (from + 1, to + 1);
                    let Some(escaped) = json.get(from) else { break };
                    (*escaped, 1)
                }
            },
            byte => {
                quoted ^= byte == b'"';
                (byte, 1)
            }
        };
        json[to] = byte;
        (from, to) = (from + length, to + 1);
    }
    to
}

/// The character that an escape stands for and the escape's length, if that
/// character can do without.
fn plain(escape: &[u8]) -> Option<(u8, usize)> {
    match escape {
        [b'\\', b'/', ..] => Some((b'/', 2)),
        [b'\\', b'u', b'0', b'0', high, low, ..] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
            let plain = (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte);
            plain.then_some((byte, 6))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_escapes_that_stand_for_a_plain_character_in_a_text_go() {
        for (json, simple) in [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#"{"a\/b":"c\/\/d"}"#, r#"{"a/b":"c//d"}"#),
            (r#""a\u002Bb\u002fc""#, r#""a+b/c""#),
            (
                r#""\u0022\u005c\u000a\u007f\u00e9\u2603""#,
                r#""\u0022\u005c\u000a\u007f\u00e9\u2603""#,
            ),
            (r#""\\/\\u0041\"\/""#, r#""\\/\\u0041\"/""#),
            (r#""a\"b" \/ "\/" \u0031"#, r#""a\"b" \/ "/" \u0031"#),
            (r#""\u00"#, r#""\u00"#),
            (r#""\u00g1\u+041""#, r#""\u00g1\u+041""#),
            (r#""a\"#, r#""a\"#),
            ("", ""),
        ] {
            let mut bytes = json.as_bytes().to_vec();
            let length = simplify(&mut bytes);
            assert_eq!(String::from_utf8_lossy(&bytes[..length]), simple, "{json}");
        }
    }
}
