//! Reads a token's lifetime: pure decisions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::grant::response::body::{JsonValue, Members, Twice};

/// A hundred years, which can be added to any clock.
pub(super) const MAX_LIFETIME: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Lifetime of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// `None` if unknown.
    pub(super) known: Option<Duration>,
    /// Whether the server sent a value that is not a lifetime.
    pub(super) is_unreadable: bool,
}

/// Reads `expires_in` (RFC 6749, section 5.1). An unreadable value does not lose the
/// token: it counts as missing, unless the token itself says when it expires.
pub(super) fn of_access_token(
    expires_in: Result<Option<&JsonValue>, Twice>,
    token: &str,
    now: SystemTime,
) -> Lifetime {
    match expires_in {
        Ok(None) => Lifetime {
            known: None,
            is_unreadable: false,
        },
        Ok(Some(value)) if seconds(value).is_some() => Lifetime {
            known: seconds(value),
            is_unreadable: false,
        },
        Ok(Some(_)) | Err(Twice) => Lifetime {
            known: of_jwt(token, now),
            is_unreadable: true,
        },
    }
}

/// Returns a number of seconds, given as a number or a string, at most
/// [`MAX_LIFETIME`]. `None` for anything else, for zero and for a negative number.
pub(super) fn seconds(value: &JsonValue) -> Option<Duration> {
    let seconds = number(value).filter(|number| *number > 0.0)?;
    let lifetime = Duration::try_from_secs_f64(seconds).unwrap_or(MAX_LIFETIME);
    Some(lifetime.min(MAX_LIFETIME)).filter(|lifetime| !lifetime.is_zero())
}

/// Returns the value of a number, or of a string that holds one.
fn number(value: &JsonValue) -> Option<f64> {
    let text = match value {
        JsonValue::Number(text) | JsonValue::Text(text) => text.trim_ascii(),
        JsonValue::Null | JsonValue::Other(..) => return None,
    };
    // The parser reads `inf` and `nan` too.
    let is_numeric = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    text.parse().ok().filter(|_| text.bytes().all(is_numeric))
}

/// Returns the time until the `exp` of a JWT (RFC 7519, section 4.1.4), and at most
/// the time from its `iat` to then, if a clock is wrong. `None` if that has passed,
/// or the token is not a JWT.
///
/// Nothing is verified, so this only schedules the next fetch.
fn of_jwt(token: &str, now: SystemTime) -> Option<Duration> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);

    let mut parts = token.split('.');
    let (_, claims, Some(_), None) = (parts.next(), parts.next()?, parts.next(), parts.next())
    else {
        return None;
    };
    let mut json = Zeroizing::new(Vec::with_capacity(claims.len()));
    let engine = GeneralPurpose::new(&URL_SAFE, LENIENT);
    engine.decode_vec(claims, &mut json).ok()?;
    let claims = Members::parse_json(&json).ok()?;
    let claim = |name| claims.get(name).ok().flatten().and_then(number);
    let end = claim("exp")?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = end - now.as_secs_f64();
    let whole = claim("iat").map_or(left, |start| end - start);
    let left = if whole > 0.0 { left.min(whole) } else { left };
    let left = Some(left).filter(|left| *left > 0.0)?;
    let left = Duration::try_from_secs_f64(left).unwrap_or(MAX_LIFETIME);
    Some(left.min(MAX_LIFETIME))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn read(expires_in: &str, token: &str) -> (Option<f64>, bool) {
        let json = format!("{{{expires_in}}}");
        let members = Members::parse_json(json.as_bytes()).expect(expires_in);
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let lifetime = of_access_token(members.get("expires_in"), token, now);
        let known = lifetime.known.map(|it| it.as_secs_f64());
        (known, lifetime.is_unreadable)
    }

    #[test]
    fn a_lifetime_is_read_however_it_is_written() {
        let max = MAX_LIFETIME.as_secs_f64();
        for (expires_in, seconds) in [
            ("3000", 3000.0),
            ("1", 1.0),
            ("\"3599\"", 3599.0),
            ("\" 3599 \"", 3599.0),
            ("3600.0", 3600.0),
            ("3.6e3", 3600.0),
            ("\"3.6E+3\"", 3600.0),
            ("35999.7", 35999.7),
            ("0.5", 0.5),
            ("3153600000", max),
            ("3153600001", max),
            ("18446744073709551616", max),
            ("1000000000000000000000000000000", max),
            ("1e999", max),
        ] {
            let read = read(&format!("\"expires_in\":{expires_in}"), "t");
            assert_eq!(read, (Some(seconds), false), "{expires_in}");
        }
        let twice = read(r#""expires_in":60,"expires_in":60"#, "t");
        assert_eq!(twice, (Some(60.0), false));
        let now = std::time::Instant::now();
        assert!(now.checked_add(MAX_LIFETIME).is_some());
    }

    #[test]
    fn what_is_no_lifetime_counts_as_not_said() {
        for expires_in in [
            "0",
            "-0",
            "0.0",
            "1e-300",
            "-1",
            "-1.5",
            "-1e999",
            "\"\"",
            "\"-1\"",
            "\"0\"",
            "\"soon\"",
            "\"inf\"",
            "\"nan\"",
            "\"0x10\"",
            "\"1h\"",
            "\"1 2\"",
            "true",
            "[60]",
            "{\"s\":60}",
            "60,\"expires_in\":61",
        ] {
            let read = read(&format!("\"expires_in\":{expires_in}"), "t");
            assert_eq!(read, (None, true), "{expires_in}");
        }
        for expires_in in ["", "\"expires_in\":null", "\"expires_on\":1"] {
            assert_eq!(read(expires_in, "t"), (None, false), "{expires_in}");
        }
    }

    #[test]
    fn a_jwt_says_its_end_where_the_server_says_none() {
        let jwt = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        for (token, left) in [
            (jwt(r#"{"exp":1000060}"#), Some(60.0)),
            (jwt(r#"{"exp":1000060.5}"#), Some(60.5)),
            (jwt(r#"{"exp":1000060,"iat":1000000}"#), Some(60.0)),
            // This clock is slow.
            (jwt(r#"{"exp":1000060,"iat":1000030}"#), Some(30.0)),
            // The token was issued a while ago.
            (jwt(r#"{"exp":1000060,"iat":999000}"#), Some(60.0)),
            (jwt(r#"{"exp":1000060,"iat":2000000}"#), Some(60.0)),
            (jwt(r#"{"exp":1e300}"#), Some(MAX_LIFETIME.as_secs_f64())),
            (jwt(r#"{"exp":1000000}"#), None),
            (jwt(r#"{"exp":1,"iat":0}"#), None),
            (jwt(r#"{"exp":-1e300}"#), None),
            (jwt(r#"{"exp":true}"#), None),
            (jwt(r#"{"exp":1000060,"exp":1000061}"#), None),
            (jwt("{}"), None),
            (jwt("[]"), None),
            ("a.!.b".into(), None),
            ("a.b".into(), None),
            (format!("{}.x", jwt(r#"{"exp":1000060}"#)), None),
        ] {
            for expires_in in ["0", "-1", "\"\""] {
                let read = read(&format!("\"expires_in\":{expires_in}"), &token);
                assert_eq!(read, (left, true), "{token}");
            }
            let missing = read("", &token);
            assert_eq!(missing, (None, false), "what is not said is not looked for");
        }
        let token = jwt(r#"{"exp":1000060}"#);
        assert_eq!(read("\"expires_in\":5", &token), (Some(5.0), false));
    }
}
