//! Which redirects of a token endpoint are followed: a pure decision.

use http::header::LOCATION;
use http::{HeaderMap, StatusCode, Uri};
use url::Url;

use crate::error::{TokenError, TokenErrorKind};

/// Returns where to post the same body again. Only 307 and 308 keep method and body
/// (RFC 9110, sections 15.4.8 and 15.4.9), and only the endpoint's own origin may
/// get the credentials.
///
/// `echoes` returns whether a text contains a secret that was sent.
pub(super) fn target(
    from: &Uri,
    endpoint: &str,
    status: StatusCode,
    headers: &HeaderMap,
    echoes: impl Fn(&str) -> bool,
) -> Result<Uri, TokenError> {
    let refuse = |what: String| {
        TokenError::new(TokenErrorKind::UnexpectedRedirect, what).with_response(status, None)
    };
    if !matches!(
        status,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    ) {
        return Err(refuse(format!(
            "{endpoint} answered with a redirect that does not keep the request: \
             only 307 and 308 are followed"
        )));
    }
    let from = Url::parse(&from.to_string()).map_err(|e| {
        refuse(format!(
            "{endpoint} has a URL that redirects cannot be relative to"
        ))
        .with_source(e)
    })?;
    let Some(mut target) = headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| from.join(location).ok())
    else {
        return Err(refuse(format!(
            "{endpoint} answered with a redirect without a readable `Location`"
        )));
    };
    if target.origin() != from.origin() {
        let origin = target.origin().ascii_serialization();
        // A hostile server can put what it received into a host name.
        let named = if !target.origin().is_tuple() || echoes(&origin) {
            String::new()
        } else {
            format!(", {origin}")
        };
        return Err(refuse(format!(
            "{endpoint} answered with a redirect to another origin{named}"
        )));
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err(refuse(format!(
            "{endpoint} answered with a redirect to a URL with a user name"
        )));
    }
    target.set_fragment(None);
    target.as_str().parse().map_err(|_| {
        refuse(format!(
            "{endpoint} answered with a redirect without a readable `Location`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "https://auth.example.com/realms/token?tenant=1";

    fn decide(status: u16, location: Option<&str>) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(LOCATION, location.parse().expect("a header value"));
        }
        target(
            &FROM.parse().expect("a uri"),
            "the token endpoint",
            StatusCode::from_u16(status).expect("a status"),
            &headers,
            |text| text.contains("hunter2"),
        )
        .map(|uri| uri.to_string())
        .map_err(|e| {
            assert_eq!(e.kind(), TokenErrorKind::UnexpectedRedirect);
            e.to_string()
        })
    }

    #[test]
    fn only_307_and_308_within_the_origin_are_followed() {
        for (location, target) in [
            ("/token2", "https://auth.example.com/token2"),
            (
                "token/?x=1#frag",
                "https://auth.example.com/realms/token/?x=1",
            ),
            ("https://AUTH.example.com:443/", "https://auth.example.com/"),
            ("//auth.example.com/b", "https://auth.example.com/b"),
        ] {
            for status in [307, 308] {
                assert_eq!(decide(status, Some(location)).as_deref(), Ok(target));
            }
        }
    }

    #[test]
    fn every_other_redirect_is_refused_and_says_why() {
        for (status, location, reason) in [
            (300, Some("/b"), "only 307 and 308"),
            (301, Some("/b"), "only 307 and 308"),
            (302, Some("/b"), "only 307 and 308"),
            (303, Some("/b"), "only 307 and 308"),
            (304, None, "only 307 and 308"),
            (307, None, "without a readable `Location`"),
            (307, Some("https://["), "without a readable `Location`"),
            (
                308,
                Some("https://evil.test/token"),
                "another origin, https://evil.test (",
            ),
            (
                307,
                Some("http://auth.example.com/"),
                "another origin, http://auth",
            ),
            (
                307,
                Some("https://auth.example.com:444/"),
                "example.com:444",
            ),
            (
                307,
                Some("//evil.test/"),
                "another origin, https://evil.test",
            ),
            (
                307,
                Some("https://auth.example.com@evil.test/"),
                "https://evil.test",
            ),
            (307, Some("data:text/plain,x"), "another origin ("),
            (307, Some("https://hunter2.evil.test/"), "another origin ("),
            (307, Some("https://evil.test/?p=hunter2"), "evil.test ("),
            (
                307,
                Some("https://me:hunter2@auth.example.com/"),
                "a user name",
            ),
        ] {
            let error = decide(status, location).expect_err("refused");
            assert!(error.contains(reason), "{status} {location:?}: {error}");
            assert!(error.contains(&status.to_string()), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
