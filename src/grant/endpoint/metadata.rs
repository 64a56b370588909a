//! Reads the metadata of an issuer: pure decisions.

use std::sync::Arc;

use http::Uri;
use url::Url;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::endpoint::url::parse_as;
use crate::grant::response::body::{JsonValue, Members, Twice};
use crate::plain_http::{is_plain, stays_here};

const FIELD: &str = "issuer";

/// An issuer and the endpoints that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The issuer as the document writes it.
    pub(super) issuer: Arc<str>,
    pub(super) token: Uri,
    pub(super) revocation: Option<Revocation>,
    /// For clients that authenticate with a certificate.
    pub(super) mtls_token: Option<Uri>,
    pub(super) mtls_revocation: Option<Uri>,
}

/// How an issuer offers to end a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Revocation {
    /// At a revocation endpoint (RFC 7009).
    Endpoint(Uri),
    /// At Keycloak's logout endpoint.
    KeycloakLogout(Uri),
    /// At an endpoint of another origin, which gets no token.
    Elsewhere,
}

/// Returns the URLs of an issuer's metadata: OpenID Connect Discovery 1.0,
/// section 4.1, then RFC 8414, section 3.1, and for an issuer with a path section 5 of
/// that.
pub(super) fn urls(issuer: &str, allows_plain_http: bool) -> Result<Vec<Uri>, ConfigError> {
    let refuse = |reason| ConfigError::new(FIELD, reason);
    let uri = parse_as(FIELD, issuer, allows_plain_http)?;
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
    let mut urls = vec![
        parse(format!("{origin}{path}/.well-known/openid-configuration"))?,
        parse(format!(
            "{origin}/.well-known/oauth-authorization-server{path}"
        ))?,
    ];
    if !path.is_empty() {
        urls.push(parse(format!(
            "{origin}/.well-known/openid-configuration{path}"
        ))?);
    }
    Ok(urls)
}

/// Why a document is not metadata.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: TokenError,
    /// Whether the document may not be this issuer's own: it is not JSON, or names
    /// no issuer.
    pub(super) is_no_document: bool,
}

/// Reads the metadata of an issuer (RFC 8414, section 2; RFC 8705, section 5).
/// `place` names it in errors. Members that no token needs may be of any type.
///
/// # Errors
///
/// Returns what is wrong with it, without quoting it.
pub(super) fn read(asked: &str, place: &str, body: &[u8]) -> Result<Metadata, Fault> {
    let malformed = |what: &str| {
        let what = format!("the metadata of {place} {what}");
        TokenError::new(TokenErrorKind::InvalidResponse, what)
    };
    let fault = |what: &str| Fault {
        error: malformed(what),
        is_no_document: false,
    };
    let no_document = |what: &str| Fault {
        error: malformed(what),
        is_no_document: true,
    };
    let members = Members::parse_json(body).map_err(no_document)?;
    let issuer = match members.get("issuer") {
        Ok(Some(JsonValue::Text(issuer))) => issuer,
        Ok(Some(_)) => return Err(no_document("has an `issuer` that is not a string")),
        Ok(None) => return Err(no_document("names no issuer")),
        Err(Twice) => return Err(fault("names two issuers")),
    };
    if !is_same_issuer(asked, issuer) {
        return Err(fault("names another issuer"));
    }
    // Only an issuer without TLS may have endpoints without it: on loopback, or on
    // its own origin, which the program marked.
    let plain = asked
        .get(..5)
        .is_some_and(|s| s.eq_ignore_ascii_case("http:"));
    let issuer_origin = parse_as(FIELD, issuer, plain).ok();
    let issuer_origin = issuer_origin.as_ref().and_then(origin);
    let endpoint = |field, text: &str| {
        let uri = parse_as(field, text, plain)?;
        if is_plain(&uri) && !plain {
            return Err(ConfigError::new(
                field,
                "is plain http, and the issuer is not",
            ));
        }
        if is_plain(&uri) && !stays_here(&uri) && origin(&uri) != issuer_origin {
            let reason = "is plain http on another origin than its issuer's";
            return Err(ConfigError::new(field, reason));
        }
        Ok(uri)
    };
    let token = match members.get("token_endpoint") {
        Ok(Some(JsonValue::Text(url))) => url,
        Ok(Some(_)) => return Err(fault("has a `token_endpoint` that is not a string")),
        Ok(None) => return Err(fault("has no `token_endpoint`")),
        Err(Twice) => return Err(fault("has two values of `token_endpoint`")),
    };
    let token = endpoint("token_endpoint", token).map_err(|e| Fault {
        error: malformed("has a token endpoint that is not accepted").with_source(e),
        is_no_document: false,
    })?;
    // These are not needed for a token, so a bad one is ignored.
    let other = |members: &Members, name| endpoint("endpoint", members.text(name)?).ok();
    let aliases = members.object("mtls_endpoint_aliases");
    let mtls_token = other(&aliases, "token_endpoint");
    // A revoked token must not go to an origin other than the issuer's, unless that
    // origin gets the same token anyway.
    let is_own = |uri: &Uri| origin(uri).is_some() && origin(uri) == issuer_origin;
    let mtls_origin = mtls_token.as_ref().and_then(origin);
    let mtls_revocation = other(&aliases, "revocation_endpoint");
    let mtls_revocation = mtls_revocation.filter(|uri| is_own(uri) || origin(uri) == mtls_origin);
    let revocation = match other(&members, "revocation_endpoint") {
        Some(uri) if is_own(&uri) => Some(Revocation::Endpoint(uri)),
        Some(_) => Some(Revocation::Elsewhere),
        None => other(&members, "end_session_endpoint")
            .filter(|uri| is_keycloak_logout(issuer, uri))
            .map(Revocation::KeycloakLogout),
    };
    Ok(Metadata {
        issuer: issuer.as_str().into(),
        token,
        revocation,
        mtls_token,
        mtls_revocation,
    })
}

fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let url = Url::parse(&uri.to_string()).ok()?;
    let host = url.host_str()?.to_owned();
    Some((url.scheme().to_owned(), host, url.port_or_known_default()?))
}

/// Returns whether an `end_session_endpoint` is Keycloak's, which ends a session by
/// its refresh token. Other servers have a page for a browser there.
fn is_keycloak_logout(issuer: &str, endpoint: &Uri) -> bool {
    let issuer = issuer.trim_end_matches('/');
    let path = format!("{issuer}/protocol/openid-connect/logout");
    parse_as("endpoint", &path, true).is_ok_and(|logout| logout == *endpoint)
}

/// Returns whether the metadata names the issuer by the same string (OpenID Connect
/// Discovery 1.0, section 4.3; RFC 8414, section 3.3). Otherwise one issuer could
/// impersonate another. A trailing slash makes no difference to the documents' URLs,
/// so no other issuer can have the other name.
fn is_same_issuer(asked: &str, named: &str) -> bool {
    let bare = |name: &str| name.strip_suffix('/').unwrap_or(name).to_owned();
    bare(asked) == bare(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_requested_where_their_standards_put_them() {
        for (issuer, openid, oauth, inserted) in [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
                None,
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
                None,
            ),
            (
                "https://a.example:8443/realms/x",
                "https://a.example:8443/realms/x/.well-known/openid-configuration",
                "https://a.example:8443/.well-known/oauth-authorization-server/realms/x",
                Some("https://a.example:8443/.well-known/openid-configuration/realms/x"),
            ),
            (
                "http://127.0.0.1:1/x/",
                "http://127.0.0.1:1/x/.well-known/openid-configuration",
                "http://127.0.0.1:1/.well-known/oauth-authorization-server/x",
                Some("http://127.0.0.1:1/.well-known/openid-configuration/x"),
            ),
        ] {
            let found = urls(issuer, false).expect(issuer);
            let found: Vec<_> = found.iter().map(Uri::to_string).collect();
            let expected = [openid, oauth].into_iter().chain(inserted);
            assert_eq!(found, expected.collect::<Vec<_>>());
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
            let error = urls(issuer, false).expect_err(issuer);
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

    fn read(issuer: &str, body: &[u8]) -> Result<Metadata, Fault> {
        super::read(issuer, "the issuer at a.example", body)
    }

    #[test]
    fn a_document_is_its_own_issuers_to_the_last_character_but_a_slash() {
        for (asked, named, is_own) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example/x", "https://a.example/x", true),
            ("https://a.example", "https://a.example/", true),
            ("https://a.example/x/", "https://a.example/x", true),
            ("https://a.example/x", "https://a.example/x//", false),
            ("https://a.example", "https://A.example", false),
            ("https://a.example", "https://a.example:443", false),
            ("https://a.example", "http://a.example", false),
            ("https://a.example/x", "https://a.example/%78", false),
            ("https://a.example", "https://hunter2.example", false),
            ("https://a.example", "", false),
        ] {
            let body = format!(r#"{{"issuer":"{named}","token_endpoint":"https://a.example/t"}}"#);
            match read(asked, body.as_bytes()) {
                Ok(metadata) => {
                    assert!(is_own, "{asked} {named}");
                    assert_eq!(metadata.token, "https://a.example/t");
                    assert_eq!(&*metadata.issuer, named, "as the document says");
                }
                Err(fault) => {
                    assert!(!is_own, "{asked} {named}");
                    assert!(!fault.is_no_document);
                    assert_eq!(fault.error.kind(), TokenErrorKind::InvalidResponse);
                    assert!(shown(&fault.error).contains("another issuer"), "{named}");
                    assert!(!shown(&fault.error).contains("hunter2"));
                }
            }
        }
    }

    #[test]
    fn a_document_that_is_not_understood_is_named() {
        const ISSUER: &str = "https://a.example";
        for (members, reason, is_no_document) in [
            ("", "the issuer at a.example names no issuer", true),
            (r#""issuer":null"#, "names no issuer", true),
            (r#""issuer":1"#, "an `issuer` that is not a string", true),
            (
                r#""issuer":"https://a.example""#,
                "no `token_endpoint`",
                false,
            ),
            (
                r#""issuer":"https://a.example","issuer":"https://b.example""#,
                "two issuers",
                false,
            ),
            (
                r#""issuer":"https://a.example","token_endpoint":["hunter2"]"#,
                "a `token_endpoint` that is not a string",
                false,
            ),
            (
                r#""issuer":"https://a.example","token_endpoint":"http://a.example/hunter2""#,
                "plain http",
                false,
            ),
            (
                r#""issuer":"https://a.example","token_endpoint":"http://127.0.0.1/hunter2""#,
                "plain http, and the issuer is not",
                false,
            ),
            (
                r#""issuer":"https://a.example","token_endpoint":"https://x:hunter2@a.example/""#,
                "a user name",
                false,
            ),
        ] {
            let fault = read(ISSUER, format!("{{{members}}}").as_bytes()).expect_err(members);
            assert_eq!(fault.error.kind(), TokenErrorKind::InvalidResponse);
            assert_eq!(fault.is_no_document, is_no_document, "{members}");
            let shown = shown(&fault.error);
            assert!(shown.contains(reason), "{members}: {shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        for body in [
            "",
            "<html>",
            "[]",
            "\"x\"",
            "{\"issuer\":\"https://a.example\"",
        ] {
            let fault = read(ISSUER, body.as_bytes()).expect_err(body);
            assert_eq!(fault.error.kind(), TokenErrorKind::InvalidResponse);
            assert!(fault.is_no_document, "{body}");
        }
    }

    fn read_with(members: &str) -> Metadata {
        let body = format!(
            r#"{{"issuer":"https://a.example/realms/x","token_endpoint":"https://b.example/t"{members}}}"#
        );
        read("https://a.example/realms/x", body.as_bytes()).expect(members)
    }

    #[test]
    fn a_member_that_no_token_needs_may_be_missing_odd_or_twice() {
        for members in [
            "",
            r#","revocation_endpoint":"http://a.example/r""#,
            r#","revocation_endpoint":17,"end_session_endpoint":["x"]"#,
            r#","revocation_endpoint":"https://a.example/r","revocation_endpoint":"x""#,
            r#","mtls_endpoint_aliases":"none","x":{"x":1,"x":2}"#,
            r#","mtls_endpoint_aliases":{"token_endpoint":{}},"jwks_uri":null"#,
            r#","issuer":"https://a.example/realms/x","scopes_supported":"\ud800""#,
        ] {
            let metadata = read_with(members);
            assert_eq!(metadata.token, "https://b.example/t");
            assert_eq!(metadata.revocation, None, "{members}");
            assert_eq!(
                (metadata.mtls_token, metadata.mtls_revocation),
                (None, None)
            );
        }
    }

    #[test]
    fn an_issuer_in_plain_http_has_plain_endpoints_on_its_own_origin_only() {
        const ISSUER: &str = "http://keycloak:8080/realms/x";
        for (endpoint, accepted) in [
            ("http://keycloak:8080/token", true),
            ("http://KEYCLOAK:8080/token", true),
            ("https://keycloak:8443/token", true),
            ("http://localhost:1/token", true),
            ("http://keycloak/token", false),
            ("http://keycloak:8081/token", false),
            ("http://other:8080/token", false),
        ] {
            let body = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"{endpoint}"}}"#);
            assert_eq!(
                read(ISSUER, body.as_bytes()).is_ok(),
                accepted,
                "{endpoint}"
            );
        }
        assert!(urls(ISSUER, true).is_ok() && urls(ISSUER, false).is_err());
    }

    #[test]
    fn a_token_is_revoked_at_the_issuers_own_origin() {
        use Revocation::*;
        let uri = |text: &'static str| Uri::from_static(text);
        let keycloak = r#","end_session_endpoint":
            "https://a.example/realms/x/protocol/openid-connect/logout""#;
        let logout = uri("https://a.example/realms/x/protocol/openid-connect/logout");
        for (members, revocation) in [
            (
                r#","revocation_endpoint":"https://a.example/r""#.to_owned(),
                Some(Endpoint(uri("https://a.example/r"))),
            ),
            (
                r#","revocation_endpoint":"https://A.example:443/r""#.to_owned(),
                Some(Endpoint(uri("https://a.example/r"))),
            ),
            (
                format!(r#"{keycloak},"revocation_endpoint":"https://a.example/r""#),
                Some(Endpoint(uri("https://a.example/r"))),
            ),
            (
                r#","revocation_endpoint":"https://a.example:444/r""#.to_owned(),
                Some(Elsewhere),
            ),
            (
                format!(r#"{keycloak},"revocation_endpoint":"https://b.example/r""#),
                Some(Elsewhere),
            ),
            (keycloak.to_owned(), Some(KeycloakLogout(logout))),
            // A page for a browser.
            (
                r#","end_session_endpoint":"https://a.example/realms/x/logout""#.to_owned(),
                None,
            ),
            (
                r#","end_session_endpoint":
                    "https://b.example/realms/x/protocol/openid-connect/logout""#
                    .to_owned(),
                None,
            ),
        ] {
            assert_eq!(read_with(&members).revocation, revocation, "{members}");
        }
        for (revocation, is_used) in [
            ("https://a.example/r", true),
            ("https://m.example/r", true),
            ("https://c.example/r", false),
        ] {
            let members = format!(
                r#","mtls_endpoint_aliases":{{"token_endpoint":"https://m.example/t",
                    "revocation_endpoint":"{revocation}","x":1}}"#
            );
            let metadata = read_with(&members);
            assert_eq!(metadata.mtls_token, Some(uri("https://m.example/t")));
            let alias = metadata.mtls_revocation.map(|uri| uri.to_string());
            assert_eq!(alias.as_deref(), Some(revocation).filter(|_| is_used));
        }
    }
}
