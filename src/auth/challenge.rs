//! What a 401 says: is it about our token?

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, StatusCode};

/// Whether an answer rejects the bearer token that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No 401.
    Accepted,
    /// A 401 that a newer token may cure.
    Rejected,
    /// A 401 that names another scheme only, or a token of too small a scope:
    /// a newer token would fare no better.
    Unrelated,
}

/// Reads an answer's status and `WWW-Authenticate` (RFC 9110, section 11.6.1;
/// RFC 6750, section 3). A 401 without a challenge, or with none that can be
/// read, is taken for a rejection, for many APIs send no challenge.
pub(crate) fn verdict(status: StatusCode, headers: &HeaderMap) -> Verdict {
    if status != StatusCode::UNAUTHORIZED {
        return Verdict::Accepted;
    }
    let mut others = false;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let mut in_bearer = false;
        let mut scope = false;
        for item in items(value.as_bytes()) {
            let (scheme, parameter) = split(item);
            if let Some(scheme) = scheme {
                if in_bearer && !scope {
                    return Verdict::Rejected;
                }
                in_bearer = scheme.eq_ignore_ascii_case(b"Bearer");
                scope = false;
                others |= !in_bearer;
            }
            scope |= in_bearer && is_insufficient_scope(parameter);
        }
        if in_bearer && !scope {
            return Verdict::Rejected;
        }
        others |= in_bearer;
    }
    if others {
        Verdict::Unrelated
    } else {
        Verdict::Rejected
    }
}

/// The parts of a list, split at commas outside quotes.
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

/// The scheme with which an item starts, if it starts one, and its parameter.
fn split(item: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let end = item
        .iter()
        .position(|b| !is_token(*b))
        .unwrap_or(item.len());
    let (word, rest) = item.split_at(end);
    let parameter = rest.trim_ascii_start();
    if word.is_empty() || parameter.first() == Some(&b'=') {
        // A parameter of the challenge before, or nothing that can be read.
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

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(status: u16, challenges: &[&str]) -> Verdict {
        let mut headers = HeaderMap::new();
        for challenge in challenges {
            let value = HeaderValue::from_bytes(challenge.as_bytes()).expect("value");
            headers.append(WWW_AUTHENTICATE, value);
        }
        verdict(StatusCode::from_u16(status).expect("status"), &headers)
    }

    #[test]
    fn a_401_is_ours_unless_it_says_otherwise() {
        use Verdict::*;
        let long = format!("Bearer realm=\"{}\"", "x".repeat(65_000));
        let cases: &[(u16, &[&str], Verdict)] = &[
            (200, &["Bearer"], Accepted),
            (403, &["Bearer error=\"insufficient_scope\""], Accepted),
            (407, &[], Accepted),
            (401, &[], Rejected),
            (401, &["Bearer"], Rejected),
            (401, &["bearer"], Rejected),
            (
                401,
                &["Bearer realm=\"api\", error=\"invalid_token\""],
                Rejected,
            ),
            (401, &["Bearer error=invalid_token"], Rejected),
            (401, &["Basic realm=\"x\", Bearer realm=\"y\""], Rejected),
            (401, &["Bearer realm=\"y\", Basic realm=\"x\""], Rejected),
            (401, &["Basic realm=\"x\"", "Bearer"], Rejected),
            (
                401,
                &["Bearer realm=\"a, Basic b\", error=\"invalid_token\""],
                Rejected,
            ),
            (401, &["Basic realm=\"x\""], Unrelated),
            (401, &["Basic"], Unrelated),
            (401, &["Basic realm=\"say \\\", Bearer\""], Unrelated),
            (401, &["Negotiate dG9rZW42OA=="], Unrelated),
            (401, &["DPoP algs=\"ES256\""], Unrelated),
            (
                401,
                &["Bearer error=\"insufficient_scope\", scope=\"a\""],
                Unrelated,
            ),
            (
                401,
                &["Bearer realm=\"x\" , error = insufficient_scope"],
                Unrelated,
            ),
            (
                401,
                &["Bearer error=\"insufficient_scope\", Bearer"],
                Rejected,
            ),
            (
                401,
                &["Bearer error_description=\"insufficient_scope\""],
                Rejected,
            ),
            // Nothing in it that can be read.
            (401, &[""], Rejected),
            (401, &[", ,,"], Rejected),
            (401, &["=\"\"\"\\"], Rejected),
            (401, &["\u{fc}ber"], Rejected),
            (401, &[&long], Rejected),
        ];
        for (status, challenges, expected) in cases {
            assert_eq!(
                read(*status, challenges),
                *expected,
                "{status} {challenges:.80?}"
            );
        }
        let ten = [
            "Basic", "Digest", "Bearer", "DPoP", "a", "b", "c", "d", "e", "f",
        ];
        assert_eq!(read(401, &ten), Rejected);
    }
}
