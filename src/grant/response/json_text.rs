//! Reads a JSON string into memory that is wiped. A parser unescapes into its own
//! buffer, which is not.

use zeroize::Zeroizing;

/// Returns the text of a JSON string given with its quotes (RFC 8259, section 7).
/// `None` if it is not one, or has half of a surrogate pair.
pub(super) fn unescape(json: &str) -> Option<Zeroizing<String>> {
    let mut rest = json.strip_prefix('"')?.strip_suffix('"')?;
    // No escape is shorter than its character, so the buffer never grows.
    let mut text = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (c, escaped) = character(rest.get(at + 1..)?)?;
        text.push(c);
        rest = escaped;
    }
    text.push_str(rest);
    Some(text)
}

/// Returns the character that an escape stands for, and the rest of the text.
fn character(escape: &str) -> Option<(char, &str)> {
    let (kind, rest) = escape.split_at_checked(1)?;
    let c = match kind {
        "\"" | "\\" | "/" => kind.chars().next()?,
        "b" => '\u{8}',
        "f" => '\u{c}',
        "n" => '\n',
        "r" => '\r',
        "t" => '\t',
        "u" => return code_point(rest),
        _ => return None,
    };
    Some((c, rest))
}

fn code_point(hex: &str) -> Option<(char, &str)> {
    let (first, rest) = unit(hex)?;
    if let Some(c) = char::from_u32(first.into()) {
        return Some((c, rest));
    }
    let (second, rest) = unit(rest.strip_prefix("\\u")?)?;
    let mut pair = char::decode_utf16([first, second]);
    match (pair.next(), pair.next()) {
        (Some(Ok(c)), None) => Some((c, rest)),
        _ => None,
    }
}

fn unit(hex: &str) -> Option<(u16, &str)> {
    let (digits, rest) = hex.split_at_checked(4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let unit = u16::from_str_radix(digits, 16).ok()?;
    is_hex.then_some((unit, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_read_as_serde_json_reads_it() {
        for json in [
            r#""""#,
            r#""a""#,
            r#""a\/b\\c\"d""#,
            r#""\b\f\n\r\t""#,
            r#""\u0041\u00e9\u2603z""#,
            r#""\ud83d\ude00!""#,
            r#""é\u00E9☃""#,
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
            r#""\ude00\ud83d""#,
            r#""\u+041""#,
            r#""\u00""#,
            r#""\x41""#,
            r#""\""#,
            r#""é\é""#,
            "a",
            "\"",
        ] {
            let read = unescape(json).map(|text| text.as_str().to_owned());
            assert_eq!(read, serde_json::from_str(json).ok(), "{json}");
        }
    }
}
