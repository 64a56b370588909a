//! Reads the metadata of an issuer: pure decisions.

use http::Uri;
use serde::Deserialize;
use url::Url;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::endpoint::url::parse_as;

const FIELD: &str = "issuer";

/// The endpoints that an issuer names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) token: Uri,
    pub(super) logout: Option<Uri>,
    pub(super) revocation: Option<Uri>,
    /// For clients that authenticate with a certificate.
    pub(super) mtls_token: Option<Uri>,
    pub(super) mtls_revocation: Option<Uri>,
}

/// The members that matter (RFC 8414, section 2; RFC 8705, section 5).
#[derive(Deserialize)]
struct Document {
    issuer: Option<String>,
    token_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    mtls_endpoint_aliases: Option<Aliases>,
}

#[derive(Deserialize)]
struct Aliases {
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
}

/// Returns the URLs of an issuer's metadata: OpenID Connect Discovery 1.0,
/// section 4.1, then RFC 8414, section 3.1.
pub(super) fn urls(issuer: &str) -> Result<[Uri; 2], ConfigError> {
    let refuse = |reason| ConfigError::new(FIELD, reason);
    let uri = parse_as(FIELD, issuer)?;
    if uri.query().is_some() || issuer.contains('?') {
        return Err(refuse("has a query: remove it from the `?` on"));
    }
    let url = Url::parse(&uri.to_string()).map_err(|_| refuse("is not a URL"))?;
    let path = url.path().trim_end_matches('/');
    let origin = url.origin().ascii_serialization();
    let parse = |text: String| {
        text.parse()
            .map_err(|_| refuse("has a character that HTTP cannot carry"))
    };
    Ok([
        parse(format!("{origin}{path}/.well-known/openid-configuration"))?,
        parse(format!(
            "{origin}/.well-known/oauth-authorization-server{path}"
        ))?,
    ])
}

/// Reads the metadata of an issuer.
///
/// # Errors
///
/// Returns what is wrong with it, in words that quote nothing of it.
pub(super) fn read(issuer: &str, body: &[u8]) -> Result<Metadata, TokenError> {
    let malformed = |what: &str| {
        let what = format!("the issuer's metadata {what}");
        TokenError::new(TokenErrorKind::InvalidResponse, what)
    };
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let document: Document = serde_json::from_slice(body).map_err(|e| {
        malformed(if e.is_data() {
            "has a member that is there twice or of the wrong type"
        } else {
            "is not JSON"
        })
    })?;
    check_issuer(issuer, document.issuer.as_deref()).map_err(malformed)?;
    // Only an issuer on loopback may have its endpoints there without TLS.
    let plain = issuer
        .get(..5)
        .is_some_and(|s| s.eq_ignore_ascii_case("http:"));
    let endpoint = |field, text: &str| {
        let uri = parse_as(field, text)?;
        if uri.scheme_str() != Some("https") && !plain {
            return Err(ConfigError::new(
                field,
                "is plain http, and the issuer is not",
            ));
        }
        Ok(uri)
    };
    let token = document
        .token_endpoint
        .ok_or_else(|| malformed("has no `token_endpoint`"))?;
    let token = endpoint("token_endpoint", &token).map_err(|e| {
        let what = "has a token endpoint that is not accepted";
        malformed(what).with_source(e)
    })?;
    // These are not needed for a token, so a bad one is ignored.
    let other = |text: Option<String>| endpoint("endpoint", &text?).ok();
    let (mtls_token, mtls_revocation) = document
        .mtls_endpoint_aliases
        .map(|aliases| (aliases.token_endpoint, aliases.revocation_endpoint))
        .unwrap_or_default();
    Ok(Metadata {
        token,
        logout: other(document.end_session_endpoint),
        revocation: other(document.revocation_endpoint),
        mtls_token: other(mtls_token),
        mtls_revocation: other(mtls_revocation),
    })
}

/// Checks that the metadata names the issuer by the same string (OpenID Connect
/// Discovery 1.0, section 4.3; RFC 8414, section 3.3). Otherwise one issuer could
/// impersonate another.
fn check_issuer(asked: &str, named: Option<&str>) -> Result<(), &'static str> {
    match named {
        None => Err("names no issuer"),
        Some(named) if named == asked => Ok(()),
        Some(named) if named.trim_end_matches('/') == asked.trim_end_matches('/') => {
            Err("names an issuer that differs in the slash at its end")
        }
        Some(_) => Err("names another issuer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_documents_are_requested_where_their_standards_put_them() {
        for (issuer, openid, oauth) in [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example:8443/realms/x",
                "https://a.example:8443/realms/x/.well-known/openid-configuration",
                "https://a.example:8443/.well-known/oauth-authorization-server/realms/x",
            ),
            (
                "http://127.0.0.1:1/x/",
                "http://127.0.0.1:1/x/.well-known/openid-configuration",
                "http://127.0.0.1:1/.well-known/oauth-authorization-server/x",
            ),
        ] {
            let found = urls(issuer).expect(issuer).map(|uri| uri.to_string());
            assert_eq!(found, [openid, oauth]);
        }
    }

    #[test]
    fn an_issuer_keeps_the_rules_of_an_endpoint_and_has_no_query() {
        for (issuer, reason) in [
            ("a.example", "no scheme"),
            ("http://a.example", "plain http"),
            ("https://me:hunter2@a.example", "a user name"),
            ("https://a.example/?hunter2", "a query"),
            ("https://a.example?", "a query"),
            ("https://a.example/#hunter2", "a fragment"),
        ] {
            let error = urls(issuer).expect_err(issuer);
            assert_eq!(error.field(), "issuer");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(reason), "{issuer}: {shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    fn shown(error: &TokenError) -> String {
        let source = std::error::Error::source(error);
        format!(
            "{error} {error:?} {}",
            source.map(ToString::to_string).unwrap_or_default()
        )
    }

    #[test]
    fn a_document_is_its_own_issuers_to_the_last_character() {
        for (asked, named, reason) in [
            ("https://a.example", "https://a.example", None),
            ("https://a.example/x", "https://a.example/x", None),
            (
                "https://a.example",
                "https://a.example/",
                Some("the slash at its end"),
            ),
            (
                "https://a.example/x/",
                "https://a.example/x",
                Some("the slash at its end"),
            ),
            (
                "https://a.example",
                "https://A.example",
                Some("another issuer"),
            ),
            (
                "https://a.example",
                "https://a.example:443",
                Some("another issuer"),
            ),
            (
                "https://a.example",
                "http://a.example",
                Some("another issuer"),
            ),
            (
                "https://a.example/x",
                "https://a.example/%78",
                Some("another issuer"),
            ),
            (
                "https://a.example",
                "https://hunter2.example",
                Some("another issuer"),
            ),
            ("https://a.example", "", Some("another issuer")),
        ] {
            let body = format!(r#"{{"issuer":"{named}","token_endpoint":"https://a.example/t"}}"#);
            match (read(asked, body.as_bytes()), reason) {
                (Ok(metadata), None) => assert_eq!(metadata.token, "https://a.example/t"),
                (Err(error), Some(reason)) => {
                    assert_eq!(error.kind(), TokenErrorKind::InvalidResponse);
                    assert!(shown(&error).contains(reason), "{named}: {error}");
                    assert!(!shown(&error).contains("hunter2"));
                }
                (result, _) => panic!("{named}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_document_that_is_not_understood_is_named() {
        const ISSUER: &str = "https://a.example";
        for (members, reason) in [
            ("", "names no issuer"),
            (r#""issuer":null"#, "names no issuer"),
            (r#""issuer":1"#, "wrong type"),
            (r#""issuer":"https://a.example""#, "no `token_endpoint`"),
            (
                r#""issuer":"https://a.example","issuer":"https://a.example""#,
                "there twice",
            ),
            (
                r#""issuer":"https://a.example","token_endpoint":["hunter2"]"#,
                "wrong type",
            ),
            (
                r#""issuer":"https://a.example","token_endpoint":"http://a.example/hunter2""#,
                "plain http",
            ),
            (
                r#""issuer":"https://a.example","token_endpoint":"http://127.0.0.1/hunter2""#,
                "plain http, and the issuer is not",
            ),
            (
                r#""issuer":"https://a.example","token_endpoint":"https://x:hunter2@a.example/""#,
                "a user name",
            ),
        ] {
            let error = read(ISSUER, format!("{{{members}}}").as_bytes()).expect_err(members);
            assert_eq!(error.kind(), TokenErrorKind::InvalidResponse);
            assert!(
                shown(&error).contains(reason),
                "{members}: {}",
                shown(&error)
            );
            assert!(!shown(&error).contains("hunter2"), "{}", shown(&error));
        }
        for body in [
            "",
            "<html>",
            "[]",
            "\"x\"",
            "{\"issuer\":\"https://a.example\"",
        ] {
            let error = read(ISSUER, body.as_bytes()).expect_err(body);
            assert_eq!(error.kind(), TokenErrorKind::InvalidResponse);
        }
    }

    #[test]
    fn an_endpoint_that_no_token_needs_may_be_missing_or_unfit() {
        let read = |members: &str| {
            let body = format!(
                r#"{{"issuer":"http://localhost:1","token_endpoint":"http://localhost:1/t",{members}}}"#
            );
            read("http://localhost:1", body.as_bytes()).expect(members)
        };
        let all = read(
            r#""end_session_endpoint":"http://localhost:1/l","revocation_endpoint":"https://a.example/r",
               "mtls_endpoint_aliases":{"token_endpoint":"https://m.example/t","x":1},"x":{}"#,
        );
        assert_eq!(all.logout.expect("one"), "http://localhost:1/l");
        assert_eq!(all.revocation.expect("one"), "https://a.example/r");
        assert_eq!(all.mtls_token.expect("one"), "https://m.example/t");
        assert_eq!(all.mtls_revocation, None);
        let unfit =
            read(r#""revocation_endpoint":"http://a.example/r","end_session_endpoint":null"#);
        assert_eq!((unfit.logout, unfit.revocation), (None, None));
    }
}
