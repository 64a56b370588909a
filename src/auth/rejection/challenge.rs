//! Challenges: decides whether a 401 is about the scope.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Returns whether a newer token may help after a 401 (RFC 9110, section 11.6.1; RFC
/// 6750, section 3). It may, whatever the scheme, because many APIs send another
/// challenge than RFC 6750's or none, unless it is [about the
/// scope](is_about_scope).
pub(super) fn is_rejection(headers: &HeaderMap) -> bool {
    !is_about_scope(headers)
}

/// Returns whether a challenge says that the token's scope is too small, and no
/// Bearer challenge names another error.
pub(super) fn is_about_scope(headers: &HeaderMap) -> bool {
    let mut about_scope = false;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let mut in_bearer = false;
        let mut scope = false;
        for item in items(value.as_bytes()) {
            let (scheme, parameter) = split(item);
            if let Some(scheme) = scheme {
                if in_bearer && !scope {
                    return false;
                }
                in_bearer = scheme.eq_ignore_ascii_case(b"Bearer");
                scope = false;
            }
            scope |= is_insufficient_scope(parameter);
            about_scope |= scope;
        }
        if in_bearer && !scope {
            return false;
        }
    }
    about_scope
}

/// Splits a list at commas outside quotes.
fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |byte| {
            let escapes = quoted && !escaped && *byte == b'\\';
            if *byte == b'"' && !escaped {
                quoted = !quoted;
            }
            escaped = escapes;
            *byte == b',' && !quoted
        })
        .map(<[u8]>::trim_ascii)
}

/// Splits an item into the scheme that it starts with, if any, and its parameter.
fn split(item: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let end = item
        .iter()
        .position(|b| !is_token(*b))
        .unwrap_or(item.len());
    let (word, rest) = item.split_at(end);
    let parameter = rest.trim_ascii_start();
    if word.is_empty() || parameter.first() == Some(&b'=') {
        // A parameter of the previous challenge, or unreadable.
        (None, item)
    } else if rest.is_empty() || rest.len() > parameter.len() {
        (Some(word), parameter)
    } else {
        (None, item)
    }
}

fn is_insufficient_scope(parameter: &[u8]) -> bool {
    let Some(equals) = parameter.iter().position(|b| *b == b'=') else {
        return false;
    };
    let (name, value) = parameter.split_at(equals);
    let value = value[1..].trim_ascii();
    let value = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""))
        .unwrap_or(value);
    name.trim_ascii().eq_ignore_ascii_case(b"error") && value == b"insufficient_scope"
}

/// Returns whether a byte is a `tchar` (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(challenges: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for challenge in challenges {
            let value = HeaderValue::from_bytes(challenge.as_bytes()).expect("value");
            headers.append(WWW_AUTHENTICATE, value);
        }
        is_rejection(&headers)
    }

    #[test]
    fn a_401_is_a_rejection_unless_it_is_about_the_scope() {
        let long = format!("Bearer realm=\"{}\"", "x".repeat(65_000));
        let cases: &[(&[&str], bool)] = &[
            (&[], true),
            (&["Bearer"], true),
            (&["bearer"], true),
            (&["Bearer realm=\"api\", error=\"invalid_token\""], true),
            (&["Bearer error=invalid_token"], true),
            (&["Basic realm=\"x\", Bearer realm=\"y\""], true),
            (&["Bearer realm=\"y\", Basic realm=\"x\""], true),
            (&["Basic realm=\"x\"", "Bearer"], true),
            (
                &["Bearer realm=\"a, Basic b\", error=\"invalid_token\""],
                true,
            ),
            // Schemes other than Bearer.
            (&["Token error=\"Expired token\""], true),
            (&["JWT realm=test zone"], true),
            (&["Basic realm=\"x\""], true),
            (&["Basic realm=\"say \\\", Bearer\""], true),
            (&["Negotiate dG9rZW42OA=="], true),
            (&["DPoP algs=\"ES256\""], true),
            // No scheme at all.
            (
                &["error=invalid_request,error_description=Invalid request"],
                true,
            ),
            (&["Bearer error=\"insufficient_scope\", scope=\"a\""], false),
            (&["Bearer realm=\"x\" , error = insufficient_scope"], false),
            (
                &["Bearer error=\"insufficient_scope\", Basic realm=\"x\""],
                false,
            ),
            (
                &["Basic realm=\"x\"", "Bearer error=insufficient_scope"],
                false,
            ),
            (&["Token error=\"insufficient_scope\""], false),
            (&["error=insufficient_scope"], false),
            (&["Bearer error=\"insufficient_scope\", Bearer"], true),
            (&["Bearer error_description=\"insufficient_scope\""], true),
            // Unreadable.
            (&[""], true),
            (&[", ,,"], true),
            (&["=\"\"\"\\"], true),
            (&["\u{fc}ber"], true),
            (&[&long], true),
        ];
        for (challenges, expected) in cases {
            assert_eq!(read(challenges), *expected, "{challenges:.80?}");
        }
        let ten = [
            "Basic", "Digest", "Bearer", "DPoP", "a", "b", "c", "d", "e", "f",
        ];
        assert!(read(&ten));
    }
}
