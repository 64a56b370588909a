//! Reads the response of a token endpoint (RFC 6749, sections 5.1 and 5.2).
//!
//! Errors quote neither the body nor a parser's message, which may quote it too.

use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::error::{TokenError, TokenErrorKind};
use crate::grant::params::Sent;
use crate::grant::response::body::{JsonValue, Members, Twice};
use crate::grant::response::{error, lifetime};
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{EndpointRequest, EndpointResponse};

/// What a grant sent, and which tokens it accepts.
pub(in crate::grant) struct Expected<'a> {
    pub(in crate::grant) refusal: error::Refusable,
    /// Token types other than bearer that are sent as bearer tokens, in lower case.
    pub(in crate::grant) token_types: &'a [String],
    /// Returns whether a token of this `issued_token_type` is accepted.
    pub(in crate::grant) accepts_issued: &'a (dyn Fn(Option<&str>) -> bool + Sync),
}

/// Returns the token, or the error if there is none.
pub(in crate::grant) fn read(
    response: &EndpointResponse,
    request: &EndpointRequest<'_>,
    sent: &Sent<'_>,
    expected: &Expected<'_>,
    now: SystemTime,
) -> Result<TokenResponse, TokenError> {
    let status = response.status;
    let body = Members::parse(&response.headers, &response.body);
    let members = body.as_ref().ok();
    let has_code = members.is_some_and(|members| members.code().is_some());
    let has_token = members.is_some_and(|it| it.get("access_token") != Ok(None));
    if !status.is_success() || (has_code && !has_token) {
        let error = error::read(response, members, request, sent, expected.refusal);
        let wait = match error.kind() {
            TokenErrorKind::Unavailable => {
                error::retry_after(&response.headers, now, error::MAX_RETRY_AFTER)
            }
            _ => None,
        };
        return Err(error.with_retry_after(wait));
    }
    let malformed = |what: String| {
        let what = format!("the response of {} {what}", request.endpoint());
        TokenError::new(TokenErrorKind::InvalidResponse, what)
    };
    body.map_err(|what| match what {
        "is not JSON" => format!("is not JSON: is this {}?", request.endpoint_name),
        what => what.to_owned(),
    })
    .and_then(|members| token(members, expected, now))
    .map_err(|what| malformed(what).with_response(status, None))
}

/// Returns the token, or what is wrong with the response. Optional members never
/// lose the token: the login may not succeed a second time.
fn token(
    members: Members,
    expected: &Expected<'_>,
    now: SystemTime,
) -> Result<TokenResponse, String> {
    let wrong_type = |member: &str, value: &JsonValue| {
        format!("has a `{member}` that is {}, not a string", value.what())
    };
    let twice = |member: &str| format!("has a member twice, with different values: `{member}`");
    let token = match members.get("access_token") {
        Ok(Some(JsonValue::Text(text))) => AccessToken::new(text.as_str())
            .map_err(|error| format!("has no token that can be sent: {error}"))?,
        Ok(Some(other)) => return Err(wrong_type("access_token", other)),
        Ok(None) if members.get("error") == Err(Twice) => return Err(twice("error")),
        Ok(None) => return Err("has no `access_token`".into()),
        Err(Twice) => return Err(twice("access_token")),
    };
    match members.get("token_type") {
        Ok(Some(JsonValue::Text(text))) if !is_bearer(text, expected.token_types) => {
            return Err(
                "has a `token_type` other than bearer: if its tokens are sent as bearer \
                 tokens all the same, set `accept_token_type`"
                    .into(),
            );
        }
        Ok(Some(JsonValue::Text(_)) | None) => {}
        Ok(Some(other)) => return Err(wrong_type("token_type", other)),
        Err(Twice) => return Err(twice("token_type")),
    }
    let issued = match members.get("issued_token_type") {
        Ok(Some(JsonValue::Text(text))) => Some(text.as_str()),
        Ok(None) => None,
        // No grant that requests a type accepts this one, and the others ignore it.
        Ok(Some(_)) | Err(Twice) => Some(""),
    };
    if !(expected.accepts_issued)(issued) {
        let what = "has a token of another type than was requested (`issued_token_type`)";
        return Err(what.into());
    }
    let lifetime = lifetime::of_access_token(members.get("expires_in"), token.secret(), now);
    let token = match lifetime.known {
        Some(lifetime) => token.with_lifetime(lifetime),
        None => token,
    };
    let refresh_token = refresh_token(&members);
    let response = TokenResponse::new(token)
        .with_unreadable_lifetime(lifetime.is_unreadable)
        .with_members(members.into_response_members());
    Ok(match refresh_token {
        Some(refresh_token) => response.with_refresh_token(refresh_token),
        None => response,
    })
}

/// Token types that require a proof of possession: as bearer tokens they are
/// useless. `N_A` is not an access token at all (RFC 8693, section 2.2.1).
const NEVER_BEARER: [&str; 4] = ["dpop", "mac", "n_a", "pop"];

pub(in crate::grant) fn is_never_bearer(token_type: &str) -> bool {
    NEVER_BEARER.contains(&token_type.to_ascii_lowercase().as_str())
}

/// Returns whether a token of this type can be sent as a bearer token. An empty type
/// counts as missing.
fn is_bearer(token_type: &str, accepted: &[String]) -> bool {
    let token_type = token_type.trim_ascii().to_ascii_lowercase();
    matches!(token_type.as_str(), "" | "bearer")
        || (accepted.contains(&token_type) && !is_never_bearer(&token_type))
}

/// Reads a refresh token. An unreadable one counts as none, and an unreadable
/// lifetime as unknown: if the server refuses the token, the grant's own credentials
/// are used. Keycloak sends 0 for no fixed end.
fn refresh_token(members: &Members) -> Option<RefreshToken> {
    let text = Zeroizing::new(members.text("refresh_token")?.to_owned());
    let token = RefreshToken::of(text).ok()?;
    let expires_in = members.get("refresh_expires_in").ok().flatten();
    Some(match expires_in.and_then(lifetime::seconds) {
        Some(lifetime) => token.with_lifetime(lifetime),
        None => token,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::{CONTENT_TYPE, RETRY_AFTER};
    use http::{HeaderMap, StatusCode, Uri};

    use super::*;

    fn answer(status: u16, body: &str) -> EndpointResponse {
        EndpointResponse {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::from_iter([(RETRY_AFTER, "7".parse().expect("a value"))]),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        }
    }

    fn form(status: u16, body: &str) -> EndpointResponse {
        let mut answer = answer(status, body);
        let form = "application/x-www-form-urlencoded"
            .parse()
            .expect("a value");
        answer.headers.insert(CONTENT_TYPE, form);
        answer
    }

    fn read_all(status: u16, body: &str) -> Result<TokenResponse, TokenError> {
        read_answer(&answer(status, body))
    }

    fn read_answer(answer: &EndpointResponse) -> Result<TokenResponse, TokenError> {
        let uri = Uri::from_static("https://a.example/token");
        let request = EndpointRequest {
            uri: &uri,
            endpoint_name: "the token endpoint",
            authorization: None,
            body: None,
            secrets: &["hunter2"],
        };
        let sent = Sent {
            secrets: vec!["hunter2"],
            names: Vec::new(),
        };
        let expected = Expected {
            refusal: error::Refusable {
                credentials: "credentials",
                client_hint: None,
            },
            token_types: &["bearertoken".into(), "mac".into()],
            accepts_issued: &|issued| issued != Some("other"),
        };
        read(answer, &request, &sent, &expected, SystemTime::UNIX_EPOCH)
    }

    fn refused(status: u16, body: &str) -> TokenError {
        let error = read_all(status, body).expect_err(body);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(error.status().map(|s| s.as_u16()), Some(status));
        error
    }

    /// An answer with these members besides the access token.
    fn with(members: &str) -> String {
        format!(r#"{{"access_token":"t0ken",{members}}}"#)
    }

    #[test]
    fn the_documented_answer_is_read() {
        let body = r#"{"access_token":"t0ken","expires_in":3000,"refresh_expires_in":7200,
            "refresh_token":"r3fresh","token_type":"Bearer","not-before-policy":0,
            "session_state":"fbf59841-8288-4a71-8192-2bd4bf8a5c50","scope":"profile email"}"#;
        let response = read_all(200, body).expect("a token");
        let token = response.access_token();
        assert_eq!(token.secret(), "t0ken");
        assert_eq!(token.lifetime(), Some(Duration::from_secs(3000)));
        let refresh = response.refresh_token().expect("a refresh token");
        assert_eq!(refresh.secret(), "r3fresh");
        assert_eq!(refresh.lifetime(), Some(Duration::from_secs(7200)));
    }

    #[test]
    fn an_answer_needs_no_more_than_an_access_token() {
        for body in [
            r#"{"access_token":"t0ken"}"#,
            "\u{feff}{\"access_token\":\"t0ken\"}",
            " \r\n{\"access_token\" : \"t0ken\"}\n",
            r#"{"access_token":"t0\u006ben"}"#,
            r#"{"access_token":"t0ken","token_type":null,"expires_in":null,"refresh_token":null}"#,
            r#"{"access_token":"t0ken","token_type":"bEARER"}"#,
            r#"{"access_token":"t0ken","error":null}"#,
            r#"{"x":{"access_token":1,"y":[1e999]},"access_token":"t0ken","x":2}"#,
            r#"{"access_token":"t0ken","token_type":""}"#,
            r#"{"access_token":"t0ken","token_type":" Bearer "}"#,
            r#"{"access_token":"t0ken","token_type":"BearerToken"}"#,
            r#"{"access_token":"t0ken","access_token":"t0ken"}"#,
            r#"{"access_token":"t0ken","error":"a","error":"b"}"#,
            r#"{"access_token":"t0ken","issued_token_type":17}"#,
            r#"{"access_token":"t0ken","scope":["a","b"],"iat":1,"expires_on":"2"}"#,
            r#"{"access_token":"t0ken","refresh_token":"a","refresh_token":"b"}"#,
            r#"{"access_token":"t0ken","x":"\ud800","y":{"y":1,"y":2}}"#,
        ] {
            let response = read_all(200, body).expect(body);
            assert_eq!(response.access_token().secret(), "t0ken");
            assert_eq!(response.access_token().lifetime(), None);
            assert!(response.refresh_token().is_none());
        }
    }

    #[test]
    fn what_is_not_understood_is_named_and_not_quoted() {
        for (body, reason) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("<html><body>hunter2</body></html>", "is not JSON"),
            ("hunter2", "is not JSON"),
            (r#"{"access_token":"hunter2""#, "is not JSON"),
            (r#"{"access_token":"hunter2"} hunter2"#, "is not JSON"),
            (r#"{"access_token":"hunter2"}{}"#, "is not JSON"),
            ("{\"access_token\":\"hun\nter2\"}", "is not JSON"),
            (r#"["hunter2"]"#, "not an object"),
            (r#""hunter2""#, "not an object"),
            ("null", "not an object"),
            (
                r#"{"access_token":"hunter2","access_token":"b"}"#,
                "a member twice, with different values: `access_token`",
            ),
            (
                &with(r#""token_type":"bearer","token_type":"hunter2""#),
                "a member twice, with different values: `token_type`",
            ),
            (r#"{"error":"a","error":"hunter2"}"#, "a member twice"),
            ("{}", "no `access_token`"),
            (r#"{"access_token":null}"#, "no `access_token`"),
            (r#"{"accessToken":"hunter2"}"#, "no `access_token`"),
            (
                r#"{"access_token":17}"#,
                "a `access_token` that is a number",
            ),
            (r#"{"access_token":["hunter2"]}"#, "is an array"),
            (r#"{"access_token":{"hunter2":1}}"#, "is an object"),
            (r#"{"access_token":""}"#, "the access token is empty"),
            (
                r#"{"access_token":"hunter2\n"}"#,
                "the access token has a space",
            ),
            (
                r#"{"access_token":"hunter2\r\nx: y"}"#,
                "the access token has a space",
            ),
            (
                r#"{"access_token":"hunter2 x"}"#,
                "the access token has a space",
            ),
            (
                &with(r#""token_type":"mac""#),
                "`token_type` other than bearer",
            ),
            (
                &with(r#""token_type":"hunter2""#),
                "`token_type` other than bearer",
            ),
            // Even if the grant was told to accept it.
            (
                &with(r#""token_type":"MAC""#),
                "`token_type` other than bearer",
            ),
            (
                &with(r#""token_type":"N_A""#),
                "`token_type` other than bearer",
            ),
            (
                &with(r#""issued_token_type":"other""#),
                "another type than was requested",
            ),
            (
                &with(r#""token_type":1"#),
                "a `token_type` that is a number",
            ),
        ] {
            let error = refused(200, body);
            assert_eq!(error.kind(), TokenErrorKind::InvalidResponse, "{body}");
            assert!(error.to_string().contains(reason), "{body}: {error}");
        }
    }

    #[test]
    fn invalid_utf_8_is_no_token_and_deep_nesting_is_no_trouble() {
        let mut bytes = answer(200, r#"{"access_token":"?"}"#);
        bytes.body[17] = 0xff;
        let error = read_answer(&bytes).expect_err("not utf-8");
        assert!(error.to_string().contains("not ASCII"), "{error}");
        let open = with(&format!(r#""expires_in":{}"#, "[".repeat(60_000)));
        assert!(refused(200, &open).to_string().contains("is not JSON"));
        let (open, shut) = ("[".repeat(30_000), "]".repeat(30_000));
        let deep = read_all(200, &with(&format!(r#""expires_in":{open}{shut}"#)));
        assert!(deep.expect("a token").has_unreadable_lifetime());
    }

    #[test]
    fn a_lifetime_that_is_none_costs_no_token() {
        for (members, lifetime, unreadable) in [
            (r#""expires_in":"3599""#, Some(3599), false),
            (r#""expires_in":60,"expires_in":60"#, Some(60), false),
            (r#""expires_in":60,"expires_in":61"#, None, true),
            (r#""expires_in":-1"#, None, true),
            (r#""expires_in":0"#, None, true),
            (r#""expires_in":[]"#, None, true),
            (r#""expires_in":null"#, None, false),
            (r#""expires_on":60"#, None, false),
        ] {
            let response = read_all(200, &with(members)).expect(members);
            let read = response.access_token().lifetime().map(|it| it.as_secs());
            assert_eq!(read, lifetime, "{members}");
            assert_eq!(response.has_unreadable_lifetime(), unreadable, "{members}");
        }
    }

    #[test]
    fn the_whole_answer_is_kept_and_not_shown() {
        let members = r#""token_type":"Bearer","instance_url":"https://na1.example",
            "scope":["hunter2","b"],"id_token":"hunter2","n":1.50,"none":null,"a":1,"a":2"#;
        let response = read_all(200, &with(members)).expect("a token");
        for (name, value) in [
            ("instance_url", Some("https://na1.example")),
            ("scope", Some(r#"["hunter2","b"]"#)),
            ("id_token", Some("hunter2")),
            ("n", Some("1.50")),
            ("token_type", Some("Bearer")),
            ("none", None),
            ("a", None),
            ("missing", None),
            ("access_token", None),
        ] {
            assert_eq!(response.clone().get(name), value, "{name}");
        }
        let shown = format!("{response:?} {response:#?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("example"),
            "{shown}"
        );
    }

    #[test]
    fn a_form_is_read_like_json() {
        let body = "access_token=t0ken%21&expires_in=3600&refresh_token=a+b&scope=a%20b";
        let response = read_answer(&form(200, body)).expect("a token");
        let token = response.access_token();
        assert_eq!(token.secret(), "t0ken!");
        assert_eq!(token.lifetime(), Some(Duration::from_secs(3600)));
        assert_eq!(response.refresh_token().map(|it| it.secret()), Some("a b"));
        assert_eq!(response.get("scope"), Some("a b"));
        // GitHub refuses with a success status.
        for status in [200, 400] {
            let body = "error=bad_verification_code&error_description=no+hunter2";
            let error = read_answer(&form(status, body)).expect_err("refused");
            assert_eq!(error.kind(), TokenErrorKind::Refused);
            assert_eq!(error.oauth_error(), Some("bad_verification_code"));
            assert_eq!(error.description(), Some("no …"));
        }
        for (body, reason) in [
            ("", "is empty"),
            ("<html>hunter2", "no `access_token`"),
            ("access_token=", "the access token is empty"),
            ("access_token=a&access_token=b", "twice"),
            ("access_token=a&token_type=mac", "other than bearer"),
        ] {
            let error = read_answer(&form(200, body)).expect_err(body);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn an_unreadable_refresh_token_or_end_of_it_costs_no_token() {
        let two_hours = Some(Some(7200));
        for (members, lifetime) in [
            (
                r#""refresh_token":"r","refresh_expires_in":7200"#,
                two_hours,
            ),
            (r#""refresh_token":"r","refresh_expires_in":0"#, Some(None)),
            (
                r#""refresh_token":"r","refresh_expires_in":null"#,
                Some(None),
            ),
            (r#""refresh_token":"r","refresh_expires_in":-1"#, Some(None)),
            (
                r#""refresh_token":"r","refresh_expires_in":"x""#,
                Some(None),
            ),
            (
                r#""refresh_token":"r","refresh_expires_in":1e30"#,
                Some(Some(100 * 365 * 86_400)),
            ),
            (r#""refresh_token":"r""#, Some(None)),
            (
                r#""refresh_token":"r","refresh_expires_in":"7200""#,
                two_hours,
            ),
            (
                r#""refresh_token":"r","refresh_expires_in":7200.0"#,
                two_hours,
            ),
            (r#""refresh_token":"","refresh_expires_in":7200"#, None),
            (r#""refresh_token":"r\n""#, None),
            (r#""refresh_token":17"#, None),
            (r#""refresh_token":{}"#, None),
            (r#""refresh_expires_in":7200"#, None),
        ] {
            let response = read_all(200, &with(members)).expect(members);
            let refresh = response.refresh_token();
            let read = refresh.map(|r| r.lifetime().map(|l| l.as_secs()));
            assert_eq!(read, lifetime, "{members}");
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_error_member() {
        use TokenErrorKind::*;
        for (status, body, kind, code) in [
            (
                401,
                r#"{"error":"invalid_grant","error_description":"hunter2"}"#,
                Refused,
                Some("invalid_grant"),
            ),
            (
                503,
                r#"{"error":"invalid_grant"}"#,
                Unavailable,
                Some("invalid_grant"),
            ),
            (
                200,
                r#"{"error":"invalid_grant"}"#,
                Refused,
                Some("invalid_grant"),
            ),
            (400, r#"{"error":"is_hunter2"}"#, Refused, None),
            (
                200,
                r#"{"error":null,"error":"invalid_grant"}"#,
                Refused,
                Some("invalid_grant"),
            ),
            (400, r#"{"error":{"code":"invalid_grant"}}"#, Refused, None),
            (400, r#"{"error":"#, Refused, None),
            (403, "", Refused, None),
            (401, "<html>hunter2</html>", Refused, None),
            (400, r#"{"access_token":"t0ken"}"#, Refused, None),
            (
                400,
                r#"{"error":"temporarily_unavailable"}"#,
                Unavailable,
                Some("temporarily_unavailable"),
            ),
            (502, "<html>hunter2</html>", Unavailable, None),
            (429, "", Unavailable, None),
        ] {
            let error = refused(status, body);
            assert_eq!(error.kind(), kind, "{status} {body}");
            assert_eq!(error.oauth_error(), code, "{status} {body}");
            let wait = (kind == Unavailable).then_some(Duration::from_secs(7));
            assert_eq!(error.retry_after(), wait, "{status} {body}");
        }
    }

    #[test]
    fn a_description_is_for_those_who_ask_and_shown_nowhere() {
        let body = r#"{"error":"invalid_client","error_codes":[7000222],
            "error_description":"AADSTS7000222: The secret 'hunter2' is expired.\r\nTrace: 1",
            "error_uri":"https://login.example.com/error?code=7000222"}"#;
        for status in [400, 401, 503, 200] {
            let error = refused(status, body);
            let description = "AADSTS7000222: The secret '…' is expired.  Trace: 1";
            assert_eq!(error.description(), Some(description));
            let uri = "https://login.example.com/error?code=7000222";
            assert_eq!(error.error_uri(), Some(uri));
            let shown = format!("{error} {error:?} {error:#?}");
            assert!(
                !shown.contains("AADSTS") && !shown.contains("login"),
                "{shown}"
            );
        }
        assert_eq!(refused(400, "<html>no</html>").description(), None);
    }

    #[test]
    fn a_token_is_taken_although_an_error_stands_beside_it() {
        assert!(read_all(200, &with(r#""error":"invalid_grant""#)).is_ok());
    }
}
