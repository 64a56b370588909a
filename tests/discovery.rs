//! An issuer instead of a token endpoint.

mod support;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use http_body_util::Full;
use tokio::time::sleep;
use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, Endpoint, SignedJwt, Signer};
use tower_bearer::testing::TokenServer;
use tower_bearer::{BoxError, PasswordGrant, TokenCache, TokenErrorKind, TokenSource};

use support::{Log, TOKEN, answer, endpoint};

const ISSUER: &str = "https://a.example/realms/x";
const OPENID: &str = "https://a.example/realms/x/.well-known/openid-configuration";
const OAUTH: &str = "https://a.example/.well-known/oauth-authorization-server/realms/x";
const INSERTED: &str = "https://a.example/.well-known/openid-configuration/realms/x";

type MockResponse = Response<Full<bytes::Bytes>>;

fn document(more: &str) -> MockResponse {
    let body = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"https://b.example/t"{more}}}"#);
    answer(200, &[], body)
}

/// Returns the URLs that a grant requests, in order, given these answers, and the
/// error of the last one.
async fn asked(
    auth: ClientAuth,
    fetches: usize,
    answers: impl Fn(usize) -> MockResponse + Clone + Send + 'static,
) -> (Vec<String>, Option<tower_bearer::TokenError>) {
    let log = Log::default();
    let grant = ClientCredentialsGrant::new(Endpoint::issuer(ISSUER).expect("valid"), "billing")
        .expect("valid")
        .client_auth(auth)
        .transport(endpoint(&log, answers));
    let mut error = None;
    for _ in 0..fetches {
        error = grant.fetch().await.err();
    }
    let all = log.all();
    for request in &all {
        let is_form = request.headers.contains_key("content-type");
        assert_eq!(is_form, request.uri.path() == "/t", "{request:?}");
        assert_eq!(is_form, !request.body.is_empty());
    }
    (all.iter().map(|r| r.uri.to_string()).collect(), error)
}

#[tokio::test(start_paused = true)]
async fn the_metadata_is_requested_once_and_then_only_the_token_endpoint() {
    let (uris, error) = asked(ClientAuth::none(), 3, |n| match n {
        0 => document(""),
        _ => answer(200, &[], TOKEN),
    })
    .await;
    assert!(error.is_none());
    let token = "https://b.example/t";
    assert_eq!(uris, [OPENID, token, token, token]);
}

#[tokio::test(start_paused = true)]
async fn where_one_place_has_no_metadata_the_next_is_tried() {
    let nothing: Vec<fn() -> MockResponse> = vec![
        || answer(400, &[], "no"),
        || answer(401, &[], "no"),
        || answer(403, &[], "no"),
        || answer(404, &[], "no"),
        || answer(410, &[], "no"),
        || answer(500, &[], ""),
        || answer(503, &[], "<html>"),
        // Spring Authorization Server without OpenID Connect.
        || answer(302, &[("location", "/login")], ""),
        || answer(307, &[("location", "https://evil.test/")], ""),
        || answer(200, &[("content-type", "text/html")], "<html>"),
        || answer(200, &[], vec![b' '; 65_537]),
        || answer(200, &[], ""),
        || answer(204, &[], ""),
        || answer(200, &[], r#"{"token_endpoint":"https://evil.test/t"}"#),
        || answer(200, &[], r#"{"issuer":null}"#),
    ];
    for nothing in nothing {
        for (before, places) in [(1, &[OPENID, OAUTH][..]), (2, &[OPENID, OAUTH, INSERTED])] {
            let (uris, error) = asked(ClientAuth::none(), 1, move |n| {
                if n < before {
                    nothing()
                } else if n == before {
                    document("")
                } else {
                    answer(200, &[], TOKEN)
                }
            })
            .await;
            assert!(error.is_none(), "{error:?}");
            assert_eq!(uris, [places, &["https://b.example/t"]].concat());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_certificate_uses_the_mtls_aliases() {
    let more = r#","mtls_endpoint_aliases":{"token_endpoint":"https://m.example/t"}"#;
    for (auth, host) in [
        (ClientAuth::tls_client_auth(), "m.example"),
        (ClientAuth::client_secret_basic("s"), "b.example"),
    ] {
        let (uris, error) = asked(auth, 1, move |n| match n {
            0 => document(more),
            _ => answer(200, &[], TOKEN),
        })
        .await;
        assert!(error.is_none());
        assert_eq!(uris, [OPENID.to_owned(), format!("https://{host}/t")]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_credentials_are_sent_when_the_metadata_is_not_accepted() {
    use TokenErrorKind::*;
    type Case = (fn() -> MockResponse, usize, TokenErrorKind, &'static str);
    let large = || answer(200, &[], vec![b' '; 65_537]);
    let other = || {
        answer(
            200,
            &[],
            r#"{"issuer":"https://evil.test","token_endpoint":"x"}"#,
        )
    };
    let plain = || {
        let endpoint = r#""token_endpoint":"http://127.0.0.1/t""#;
        answer(200, &[], format!(r#"{{"issuer":"{ISSUER}",{endpoint}}}"#))
    };
    let elsewhere = || answer(307, &[("location", "https://evil.test/")], "");
    let cases: [Case; 11] = [
        (
            || answer(404, &[], ""),
            3,
            Config,
            "to the last character? (404)",
        ),
        (
            || answer(503, &[], ""),
            3,
            Unavailable,
            "temporarily unavailable (503)",
        ),
        (
            || answer(429, &[("retry-after", "7")], ""),
            1,
            Unavailable,
            "(429)",
        ),
        (
            || answer(101, &[], ""),
            1,
            InvalidResponse,
            "answered with an unexpected status (101)",
        ),
        (
            || answer(302, &[("location", "/x")], ""),
            3,
            UnexpectedRedirect,
            "the issuer at a.example answered with",
        ),
        (
            elsewhere,
            3,
            UnexpectedRedirect,
            "another origin, https://evil.test",
        ),
        (
            || answer(200, &[], "<html>"),
            3,
            InvalidResponse,
            "the metadata of the issuer at a.example is not JSON (200)",
        ),
        (
            || answer(200, &[], "{}"),
            3,
            InvalidResponse,
            "names no issuer",
        ),
        (other, 1, InvalidResponse, "names another issuer"),
        (
            plain,
            1,
            InvalidResponse,
            "a token endpoint that is not accepted",
        ),
        (
            large,
            3,
            InvalidResponse,
            "the response of the issuer at a.example is larger than 65536 bytes",
        ),
    ];
    for (answers, requests, kind, reason) in cases {
        let (uris, error) =
            asked(ClientAuth::client_secret_basic("s"), 1, move |_| answers()).await;
        let error = error.expect(reason);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.is_transient(), kind == Unavailable);
        assert_eq!(uris.len(), requests, "{reason}");
        assert!(uris.iter().all(|uri| uri.contains("/.well-known/")));
    }
}

/// A transient error says most, then a fault, and least that there is nothing.
#[tokio::test(start_paused = true)]
async fn of_places_without_metadata_the_one_that_says_more_is_reported() {
    use TokenErrorKind::*;
    let place = |what: &str| match what {
        "nothing" => answer(404, &[], ""),
        "page" => answer(200, &[], "<html>"),
        "redirect" => answer(302, &[("location", "/x")], ""),
        _ => answer(500, &[], ""),
    };
    for (first, second, kind) in [
        ("nothing", "later", Unavailable),
        ("later", "nothing", Unavailable),
        ("page", "later", Unavailable),
        ("page", "nothing", InvalidResponse),
        ("nothing", "page", InvalidResponse),
        ("redirect", "page", UnexpectedRedirect),
        ("nothing", "nothing", Config),
    ] {
        for at in [1, 2] {
            let (uris, error) = asked(ClientAuth::none(), 1, move |n| match n {
                0 => place(first),
                _ if n == at => place(second),
                _ => place("nothing"),
            })
            .await;
            assert_eq!(uris, [OPENID, OAUTH, INSERTED]);
            assert_eq!(error.expect("none").kind(), kind, "{first} {second} {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_nobody_needs_spoils_nothing() {
    for more in [
        r#","revocation_endpoint":17,"end_session_endpoint":[]"#,
        r#","mtls_endpoint_aliases":"none","mtls_endpoint_aliases":[]"#,
        r#","scopes_supported":"\ud800","x":1e999"#,
        r#","issuer":"https://a.example/realms/x""#,
    ] {
        let (uris, error) = asked(ClientAuth::none(), 1, move |n| match n {
            0 => document(more),
            _ => answer(200, &[], TOKEN),
        })
        .await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(uris, [OPENID, "https://b.example/t"]);
    }
}

/// Signs nothing.
struct Pen;

impl Signer for Pen {
    fn algorithm(&self) -> &str {
        "ES256"
    }

    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, BoxError> {
        Ok(b"signed".to_vec())
    }
}

#[tokio::test(start_paused = true)]
async fn an_assertion_is_for_the_issuer_as_its_metadata_writes_it() -> Result<(), BoxError> {
    for (asked, named) in [
        (ISSUER, ISSUER),
        ("https://a.example/realms/x", "https://a.example/realms/x/"),
        ("https://a.example/realms/x/", "https://a.example/realms/x"),
    ] {
        let log = Log::default();
        let body = format!(r#"{{"issuer":"{named}","token_endpoint":"https://b.example/t"}}"#);
        let grant = ClientCredentialsGrant::new(Endpoint::issuer(asked)?, "billing")?
            .client_auth(ClientAuth::private_key_jwt(SignedJwt::new(Pen)))
            .transport(endpoint(&log, move |n| match n {
                0 => answer(200, &[], body.clone()),
                _ => answer(200, &[], TOKEN),
            }));
        grant.fetch().await?;
        let form = log.all().remove(1).body;
        let (_, assertion) = form.rsplit_once("client_assertion=").expect("one");
        let claims = assertion.split('.').nth(1).expect("three parts");
        let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        assert_eq!(claims["aud"], named);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn all_urls_together_have_the_time_of_one_request() -> Result<(), BoxError> {
    let start = tokio::time::Instant::now();
    let slow = tower::service_fn(|_: http::Request<Full<bytes::Bytes>>| async {
        sleep(Duration::from_secs(6)).await;
        Ok::<_, std::convert::Infallible>(answer(404, &[], ""))
    });
    let grant = ClientCredentialsGrant::new(Endpoint::issuer(ISSUER)?, "billing")?;
    let error = grant.transport(slow).fetch().await.expect_err("late");
    assert_eq!(error.kind(), TokenErrorKind::Timeout);
    assert!(
        error.to_string().contains("the request to the issuer"),
        "{error}"
    );
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn metadata_is_read_again_after_an_hour_and_the_old_one_stays_in_use() -> Result<(), BoxError>
{
    let log = Log::default();
    let seen = log.clone();
    let transport = endpoint(&log, move |n| {
        let first = seen.all().iter().filter(|r| r.uri.path() != "/t").count() == 1;
        match seen.all()[n].uri.path() {
            "/t" => answer(200, &[], TOKEN),
            _ if first => document(""),
            _ => answer(500, &[], ""),
        }
    });
    let issuer = Endpoint::issuer(ISSUER)?;
    let grant = ClientCredentialsGrant::new(issuer.clone(), "billing")?.transport(transport);
    let documents = || log.all().iter().filter(|r| r.uri.path() != "/t").count();
    grant.fetch().await?;
    sleep(Duration::from_secs(3599)).await;
    grant.fetch().await?;
    assert_eq!(documents(), 1);
    sleep(Duration::from_secs(1)).await;
    grant.fetch().await?;
    grant.fetch().await?;
    // At each place, and not again for a minute.
    assert_eq!(documents(), 4);
    sleep(Duration::from_secs(60)).await;
    grant.fetch().await?;
    assert_eq!(documents(), 7);

    // Another grant of the same endpoint has it from memory.
    let other = Log::default();
    let transport = endpoint(&other, |_| answer(200, &[], TOKEN));
    let grant = ClientCredentialsGrant::new(issuer, "other")?.transport(transport);
    grant.fetch().await?;
    assert_eq!(other.all().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_session_ends_where_the_issuer_says_and_at_no_other_origin() -> Result<(), BoxError> {
    let keycloak = "https://a.example/realms/x/protocol/openid-connect/logout";
    for (more, ends_at) in [
        (
            r#","revocation_endpoint":"https://a.example/r""#,
            Ok("https://a.example/r"),
        ),
        (
            r#","revocation_endpoint":"https://a.example/r",
                "end_session_endpoint":"https://a.example/realms/x/protocol/openid-connect/logout""#,
            Ok("https://a.example/r"),
        ),
        (
            r#","end_session_endpoint":"https://a.example/realms/x/protocol/openid-connect/logout""#,
            Ok(keycloak),
        ),
        // A page for a browser, at LemonLDAP::NG for example.
        (
            r#","end_session_endpoint":"https://a.example/oauth2/logout""#,
            Err("names no revocation endpoint"),
        ),
        (
            r#","revocation_endpoint":"https://evil.test/r""#,
            Err("of another origin"),
        ),
        ("", Err("names no revocation endpoint")),
    ] {
        let log = Log::default();
        let grant = PasswordGrant::new(Endpoint::issuer(ISSUER)?, "api", "me", "pw")?
            .client_secret("s3cret")
            .transport(endpoint(&log, move |n| match n {
                0 => document(more),
                _ => answer(200, &[], ""),
            }));
        let refresh = tower_bearer::RefreshToken::new("r3fresh")?;
        let ended = grant.revoke(None, Some(&refresh)).await;
        let sent = &log.all()[1..];
        match (ended, ends_at) {
            (Ok(()), Ok(url)) => {
                assert_eq!(sent.len(), 1);
                assert_eq!(sent[0].uri, url);
                assert!(sent[0].headers.contains_key("authorization"));
            }
            (Err(error), Err(reason)) => {
                assert_eq!(error.kind(), TokenErrorKind::Config);
                assert!(error.to_string().contains(reason), "{error}");
                assert!(sent.is_empty());
            }
            (ended, _) => panic!("{more}: {ended:?}"),
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_embedded_server_is_an_issuer() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "pw").in_process();
    let issuer = Endpoint::issuer(server.api_url())?;
    let grant = PasswordGrant::new(issuer, "api", "me", "pw")?.transport(server.service());
    let tokens = TokenCache::new(grant);
    tokens.token().await?;
    tokens.revoke().await?;
    let counts = server.counts();
    assert_eq!((counts.discovery_requests, counts.password_grants), (1, 1));
    assert_eq!(counts.open_sessions, 0);

    // With a slash at its end it is the same issuer.
    let slash = Endpoint::issuer(format!("{}/", server.api_url()))?;
    let grant = PasswordGrant::new(slash, "api", "me", "pw")?.transport(server.service());
    grant.fetch().await?;
    Ok(())
}
