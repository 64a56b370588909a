//! Reads `Retry-After` (RFC 9110, section 10.2.3): a pure decision.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The longest pause that is read, which can be added to a clock without
/// overflow. The cache decides how much of it to wait.
pub(in crate::grant) const MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Returns how long the server asks to wait from `now`, at most `max`. `None` if
/// it does not: no header, an unreadable one, zero, or a date in the past.
pub(in crate::grant) fn retry_after(
    headers: &HeaderMap,
    now: SystemTime,
    max: Duration,
) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Only too many digits can fail.
        text.parse().map_or(max, Duration::from_secs)
    } else {
        httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()?
    };
    Some(wait.min(max)).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(300);

    #[test]
    fn both_forms_are_read_and_capped() {
        // 1994-11-06 08:49:07, thirty seconds before the RFC's example.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_747);
        for (text, seconds) in [
            ("1", Some(1)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("300", Some(300)),
            ("301", Some(300)),
            ("1000000000000000000000000000000", Some(300)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(300)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", None),
            ("Sun, 06 Nov 1994 08:49:06 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1s", None),
            ("", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]);
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now, MAX), expected, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now, MAX), None);
    }
}
