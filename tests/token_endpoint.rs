//! Faults of a token endpoint, and how a grant handles them.

mod support;

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, Pending, pending};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::Service;
use tower_bearer::grant::ClientAuth;
use tower_bearer::transport::Transport;
use tower_bearer::{
    PasswordGrant, RefreshToken, TokenError, TokenErrorKind, TokenResponse, TokenSource,
};

use support::{Log, TOKEN, answer, endpoint};

const PASSWORD: &str = "hunter2+pass";
/// The part of the password that no error may hold, in any encoding.
const MARK: &str = "hunter2";

fn grant<T: Transport>(transport: T) -> PasswordGrant<T> {
    PasswordGrant::voipex("me", PASSWORD).transport(transport)
}

/// Asserts that this is an error of that kind, which names the reason and holds
/// no secret, and so do the errors behind it.
#[track_caller]
fn assert_fault(
    result: Result<TokenResponse, TokenError>,
    kind: TokenErrorKind,
    reason: &str,
) -> TokenError {
    let error = result.expect_err(reason);
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(reason), "{error}");
    let mut next: Option<&dyn Error> = Some(&error);
    while let Some(error) = next {
        let shown = format!("{error} {error:?}");
        for secret in [MARK, "t0ken", "r3fresh", "s3cret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        next = error.source();
    }
    error
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_named() {
    use TokenErrorKind::*;
    let html = format!("<html>no such page for {MARK}</html>");
    for (status, body, kind, reason) in [
        (
            200,
            html.as_str(),
            InvalidResponse,
            "is not JSON: is this the token endpoint? (200)",
        ),
        (
            401,
            &html,
            Refused,
            "without a readable `error`: is this the token endpoint? (401)",
        ),
        (502, &html, Unavailable, "is temporarily unavailable (502)"),
        (
            200,
            r#"{"token":"t0ken"}"#,
            InvalidResponse,
            "no `access_token`",
        ),
        (
            200,
            r#"{"access_token":"t0ken","token_type":"mac"}"#,
            InvalidResponse,
            "`token_type` other than bearer",
        ),
        (
            200,
            r#"{"access_token":"t0ken\nx"}"#,
            InvalidResponse,
            "no token that can be sent: the access token has a space, a control character",
        ),
        (
            401,
            r#"{"error":"invalid_grant","error_description":"no hunter2"}"#,
            Refused,
            "at auth.voipex.io refused the user name or password (401, invalid_grant)",
        ),
        // A hostile server sends back what it received.
        (
            400,
            r#"{"error":"hunter2"}"#,
            Refused,
            "refused the request (400",
        ),
        (
            304,
            "",
            UnexpectedRedirect,
            "only 307 and 308 are followed (304)",
        ),
        (101, "", InvalidResponse, "an unexpected status"),
    ] {
        let log = Log::default();
        let body = body.to_owned();
        let service = endpoint(&log, move |_| answer(status, &[], body.clone()));
        assert_fault(grant(service).fetch().await, kind, reason);
        assert_eq!(log.all().len(), 1);
    }
}

#[tokio::test]
async fn a_token_is_opaque_and_sent_as_it_came() {
    for secret in [
        "00D50000000IZ3Z!AQ0AQDpEDKYsn7ioKug2aSmgCjgrPjG",
        "17|laravel",
        "v^1.1#i^1#p^3",
        "Atza|IwEBI",
        "a\"b\\c,d;e=f",
    ] {
        let log = Log::default();
        let body = serde_json::json!({ "access_token": secret }).to_string();
        let service = endpoint(&log, move |_| answer(200, &[], body.clone()));
        let response = grant(service).fetch().await.expect(secret);
        let header = response.access_token().header();
        assert_eq!(header.as_bytes(), format!("Bearer {secret}").as_bytes());
        assert!(header.is_sensitive());
    }
}

#[tokio::test]
async fn a_type_of_token_is_taken_where_the_grant_was_told_so() {
    let types = ["BearerToken", "Application Access Token", "bot", "JWT"];
    let told = |mut grant: PasswordGrant| {
        for name in types {
            grant = grant.accept_token_type(name).expect("a bearer token");
        }
        grant
    };
    for (token_type, untold) in [
        ("Bearer", true),
        ("BEARER", true),
        ("", true),
        ("BearerToken", false),
        ("bearertoken", false),
        ("Application Access Token", false),
        ("bot", false),
        ("JWT", false),
    ] {
        for is_told in [false, true] {
            let log = Log::default();
            let body = format!(r#"{{"access_token":"t0ken","token_type":"{token_type}"}}"#);
            let service = endpoint(&log, move |_| answer(200, &[], body.clone()));
            let plain = PasswordGrant::voipex("me", PASSWORD);
            let plain = if is_told { told(plain) } else { plain };
            let grant = plain.transport(service);
            let result = grant.fetch().await;
            let refreshed = grant.refresh(&RefreshToken::new("r").expect("valid")).await;
            for result in [result, refreshed] {
                assert_eq!(result.is_ok(), untold || is_told, "{token_type}");
            }
        }
    }
    for token_type in ["DPoP", "mac", "N_A", "PoP"] {
        let error = PasswordGrant::voipex("me", PASSWORD).accept_token_type(token_type);
        assert_eq!(error.expect_err("no").field(), "accept_token_type");
        let log = Log::default();
        let body = format!(r#"{{"access_token":"t0ken","token_type":"{token_type}"}}"#);
        let service = endpoint(&log, move |_| answer(200, &[], body.clone()));
        let grant = told(PasswordGrant::voipex("me", PASSWORD)).transport(service);
        let reason = "`token_type` other than bearer";
        assert_fault(grant.fetch().await, TokenErrorKind::InvalidResponse, reason);
    }
}

#[tokio::test]
async fn each_answer_is_shown_to_the_grants_observer() {
    let log = Log::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    let service = endpoint(&log, |n| match n {
        0 => answer(400, &[], r#"{"error":"invalid_grant"}"#),
        n => {
            let body = format!(r#"{{"access_token":"t0ken","instance_url":"https://na{n}"}}"#);
            answer(200, &[], body)
        }
    });
    let grant = grant(service).on_response(move |response| {
        let url = response.get("instance_url").map(str::to_owned);
        all.lock().expect("no panic").push(url.expect("one"));
    });
    assert!(grant.fetch().await.is_err());
    grant.fetch().await.expect("a token");
    let refresh = RefreshToken::new("r").expect("valid");
    let response = grant.refresh(&refresh).await.expect("a token");
    assert_eq!(response.get("instance_url"), Some("https://na2"));
    assert_eq!(
        *seen.lock().expect("no panic"),
        ["https://na1", "https://na2"]
    );
}

#[tokio::test]
async fn a_form_is_read_where_its_content_type_says_so() {
    let form = [(
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    )];
    let body = "access_token=t0ken&expires_in=60&refresh_token=r3fresh&token_type=bearer";
    for (headers, is_read) in [(&form[..], true), (&[], false)] {
        let log = Log::default();
        let headers = headers.to_vec();
        let service = endpoint(&log, move |_| answer(200, &headers, body));
        let result = grant(service).fetch().await;
        match is_read {
            true => {
                let response = result.expect("a token");
                let lifetime = response.access_token().lifetime();
                assert_eq!(lifetime, Some(Duration::from_secs(60)));
                assert!(response.refresh_token().is_some());
            }
            false => {
                assert_fault(result, TokenErrorKind::InvalidResponse, "is not JSON");
            }
        }
    }
}

#[tokio::test]
async fn what_the_server_says_of_a_refusal_is_there_without_what_was_sent() {
    let log = Log::default();
    let body = "{\"error\":\"invalid_client\",\"error_description\":\"The client 'api' of \
                somebody@example.com (pass: hunter2+pass, hunter2%2Bpass, aHVudGVyMg) cannot \
                authenticate with methods: [Basic bWUtY2xpZW50Omh1bnRlcjI=]\"}";
    let service = endpoint(&log, move |_| answer(401, &[], body));
    let grant = PasswordGrant::voipex("somebody@example.com", PASSWORD)
        .param("otp", "aHVudGVyMg")
        .expect("a free name")
        .transport(service);
    let error = grant.fetch().await.expect_err("refused");
    assert_eq!(
        error.description(),
        Some(
            "The client '…' of … (…: …, …, …) cannot authenticate with methods: \
             [Basic bWUtY2xpZW50Omh1bnRlcjI=]"
        )
    );
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("cannot authenticate"), "{shown}");
}

#[tokio::test]
async fn a_server_that_sends_the_password_back_as_an_error_code_is_not_quoted() {
    let log = Log::default();
    for code in ["pass-word-1", "was_pass-word-1_wrong"] {
        let service = endpoint(&log, move |_| {
            answer(400, &[], format!(r#"{{"error":"{code}"}}"#))
        });
        // The server sends it in lower case, so that it looks like a code.
        let grant = PasswordGrant::voipex("me", "PASS-Word-1").transport(service);
        let error = grant.fetch().await.expect_err("refused");
        assert_eq!(error.oauth_error(), None);
        assert!(!format!("{error} {error:?}").contains("pass-word"));
    }
}

#[tokio::test]
async fn what_is_empty_is_never_sent() {
    for (id, username, password, reason) in [
        ("api", "", PASSWORD, "the user name is empty"),
        ("api", "me", "", "the password is empty"),
        ("", "me", PASSWORD, "the client id is empty"),
    ] {
        let log = Log::default();
        let grant = PasswordGrant::new("https://a.example/token", id, username, password)
            .expect("valid")
            .transport(endpoint(&log, |_| answer(200, &[], TOKEN)));
        assert_fault(grant.fetch().await, TokenErrorKind::Config, reason);
        assert!(log.all().is_empty());
    }
}

#[tokio::test]
async fn the_client_authenticates_in_one_place_and_so_does_a_refresh() {
    const SECRET: &str = "s3cret s3cret";
    let (encoded, plain) = (
        Some("Basic YXBpOnMzY3JldCUyMHMzY3JldA=="),
        Some("Basic YXBpOnMzY3JldCBzM2NyZXQ="),
    );
    for (auth, header, id, param) in [
        (ClientAuth::client_secret_basic(SECRET), encoded, "", ""),
        (
            ClientAuth::client_secret_basic_unencoded(SECRET),
            plain,
            "",
            "",
        ),
        (
            ClientAuth::client_secret_post(SECRET),
            None,
            "client_id=api&",
            "&client_secret=s3cret+s3cret",
        ),
    ] {
        let log = Log::default();
        let grant = grant(endpoint(&log, |_| answer(200, &[], TOKEN)))
            .client_auth(auth)
            .scope("profile email")
            .param("totp", "12 34")
            .expect("a free name");
        grant.fetch().await.expect("a token");
        let refresh = RefreshToken::new("r3fresh+").expect("valid");
        grant.refresh(&refresh).await.expect("a token");
        let [first, second] = &log.all()[..] else {
            panic!("two requests");
        };
        assert_eq!(
            first.body,
            format!(
                "{id}username=me&password=hunter2%2Bpass&grant_type=password\
                 {param}&scope=profile+email&totp=12+34"
            )
        );
        assert_eq!(
            second.body,
            format!("{id}refresh_token=r3fresh%2B&grant_type=refresh_token{param}")
        );
        for request in [first, second] {
            let sent = request.headers.get("authorization");
            assert_eq!(sent.map(|v| v.to_str().expect("ascii")), header);
            assert!(sent.is_none_or(|v| v.is_sensitive()));
            assert_eq!(
                request.headers["content-type"],
                "application/x-www-form-urlencoded"
            );
        }
        assert!(!format!("{grant:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_refused_client_is_told_of_other_ways_to_send_its_secret() {
    let plain = "refused the client (401, invalid_client)";
    for (auth, reason) in [
        (ClientAuth::client_secret_basic("s3cret"), plain),
        (ClientAuth::client_secret_basic_unencoded("s3cret"), plain),
        (ClientAuth::client_secret_post("s3cret!"), plain),
        (
            ClientAuth::client_secret_basic("s3cret!"),
            "try `ClientAuth::client_secret_basic_unencoded` or `client_secret_post`",
        ),
        (
            ClientAuth::client_secret_basic_unencoded("s3cret!"),
            "try `ClientAuth::client_secret_basic` or `client_secret_post`",
        ),
    ] {
        let log = Log::default();
        let body = r#"{"error":"invalid_client"}"#;
        let grant = grant(endpoint(&log, move |_| answer(401, &[], body))).client_auth(auth);
        assert_fault(grant.fetch().await, TokenErrorKind::Refused, reason);
    }
}

#[tokio::test]
async fn the_header_that_a_server_sends_back_is_cut_out_of_its_description() {
    let log = Log::default();
    let body = r#"{"error":"invalid_client","error_description":"bad: Basic YXBpOnMzY3JldA=="}"#;
    let grant = grant(endpoint(&log, move |_| answer(401, &[], body))).client_secret("s3cret");
    let error = grant.fetch().await.expect_err("refused");
    assert_eq!(error.description(), Some("bad: Basic …"));
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let grant = || PasswordGrant::voipex("me", PASSWORD);
    let error = grant().timeout(Duration::ZERO).expect_err("zero");
    assert_eq!(error.field(), "timeout");
    let error = grant().max_response(0).expect_err("zero");
    assert_eq!(error.field(), "max_response");
    for name in [
        "",
        "client_id",
        "client_secret",
        "username",
        "password",
        "grant_type",
        "refresh_token",
        "scope",
    ] {
        let error = grant().param(name, MARK).expect_err(name);
        assert_eq!(error.field(), "param");
        assert!(error.to_string().contains(name) && !error.to_string().contains(MARK));
    }
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed_with_the_same_form() {
    for status in [307, 308] {
        let log = Log::default();
        let service = endpoint(&log, move |n| match n {
            0 => answer(status, &[("location", "/b?x=1")], ""),
            1 => answer(status, &[("location", "https://auth.voipex.io:443/c")], ""),
            _ => answer(200, &[], TOKEN),
        });
        grant(service).fetch().await.expect("a token");
        let log = log.all();
        let uris: Vec<_> = log.iter().map(|r| r.uri.to_string()).collect();
        let expected = ["token", "b?x=1", "c"].map(|p| format!("https://auth.voipex.io/{p}"));
        assert_eq!(uris, expected);
        assert!(log.iter().all(|r| r.body == log[0].body));
    }
}

#[tokio::test]
async fn other_redirects_are_refused_and_the_password_goes_nowhere_else() {
    for (status, location, reason) in [
        (302, "/b", "only 307 and 308 are followed (302)"),
        (303, "/b", "only 307 and 308 are followed (303)"),
        (
            307,
            "https://evil.test/token?p=hunter2",
            "another origin, https://evil.test (307)",
        ),
        (
            308,
            "http://auth.voipex.io/token",
            "another origin, http://auth",
        ),
        (
            307,
            "https://auth.voipex.io:8443/",
            "another origin, https://auth.voipex.io:8443",
        ),
    ] {
        let log = Log::default();
        let service = endpoint(&log, move |_| answer(status, &[("location", location)], ""));
        assert_fault(
            grant(service).fetch().await,
            TokenErrorKind::UnexpectedRedirect,
            reason,
        );
        assert_eq!(log.all().len(), 1);
    }
}

#[tokio::test]
async fn a_circle_of_redirects_ends_after_five() {
    let log = Log::default();
    let service = endpoint(&log, |_| answer(307, &[("location", "/token")], ""));
    let result = grant(service).fetch().await;
    assert_fault(
        result,
        TokenErrorKind::UnexpectedRedirect,
        "more than 5 times",
    );
    assert_eq!(log.all().len(), 6);
}

/// A body without end: nothing at all, or a chunk each millisecond. One that is
/// read far past the cap panics, so that a broken cap does not fill the memory.
struct Endless {
    chunk: usize,
    sent: usize,
    pause: Pin<Box<tokio::time::Sleep>>,
}

impl Endless {
    fn new(chunk: usize) -> Self {
        let pause = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self {
            chunk,
            sent: 0,
            pause,
        }
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.chunk == 0 {
            return Poll::Pending;
        }
        std::task::ready!(self.pause.as_mut().poll(cx));
        let next = tokio::time::Instant::now() + Duration::from_millis(1);
        self.pause.as_mut().reset(next);
        self.sent += self.chunk;
        assert!(self.sent <= 4 << 20, "read far past the cap");
        let chunk = Bytes::from(vec![b' '; self.chunk]);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

fn endless(status: u16, chunk: usize) -> Response<Endless> {
    let mut response = Response::new(Endless::new(chunk));
    *response.status_mut() = status.try_into().expect("a status");
    response
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_meets_the_timeout_or_the_cap() {
    use TokenErrorKind::*;
    for (chunk, kind, reason) in [
        (0, Timeout, "did not finish within 10s"),
        (1, Timeout, "did not finish within 10s"),
        (100, InvalidResponse, "larger than 65536 bytes (200)"),
        (1 << 20, InvalidResponse, "larger than 65536 bytes (200)"),
    ] {
        let log = Log::default();
        let service = endpoint(&log, move |_| endless(200, chunk));
        let start = tokio::time::Instant::now();
        assert_fault(grant(service).fetch().await, kind, reason);
        assert!(start.elapsed() <= Duration::from_millis(10_010));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_cannot_be_read_is_a_refusal() {
    for (status, kind) in [
        (401, TokenErrorKind::Refused),
        (503, TokenErrorKind::Unavailable),
    ] {
        for chunk in [0, 1 << 20] {
            let log = Log::default();
            let service = endpoint(&log, move |_| endless(status, chunk));
            let error = assert_fault(grant(service).fetch().await, kind, "token endpoint");
            assert_eq!(error.status().map(|s| s.as_u16()), Some(status));
        }
    }
}

#[tokio::test]
async fn the_cap_can_be_set_and_is_named() {
    for (cap, reason) in [
        (TOKEN.len(), None),
        (
            TOKEN.len() - 1,
            Some(format!("larger than {} bytes", TOKEN.len() - 1)),
        ),
    ] {
        let log = Log::default();
        let grant = grant(endpoint(&log, |_| answer(200, &[], TOKEN)))
            .max_response(cap)
            .expect("valid");
        match reason {
            None => drop(grant.fetch().await.expect("a token")),
            Some(reason) => {
                assert_fault(
                    grant.fetch().await,
                    TokenErrorKind::InvalidResponse,
                    &reason,
                );
            }
        }
    }
}

#[derive(Clone)]
struct NeverReady;

impl Service<Request<Full<Bytes>>> for NeverReady {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        pending()
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_is_never_ready_meets_the_timeout() {
    let grant = grant(NeverReady)
        .timeout(Duration::from_millis(1500))
        .expect("valid");
    let reason = "did not finish within 1.5s";
    assert_fault(grant.fetch().await, TokenErrorKind::Timeout, reason);
}

#[tokio::test(start_paused = true)]
async fn an_endless_timeout_does_not_panic() {
    let log = Log::default();
    let grant = grant(endpoint(&log, |_| answer(200, &[], TOKEN)))
        .timeout(Duration::MAX)
        .expect("valid");
    assert!(grant.fetch().await.is_ok());
}

/// A service whose clones are not ready, as tower's contract allows, and which
/// is not `Sync`.
struct ReadyOnce {
    ready: Cell<bool>,
    redirects: u32,
}

impl Clone for ReadyOnce {
    fn clone(&self) -> Self {
        Self {
            ready: Cell::new(false),
            redirects: self.redirects,
        }
    }
}

impl Service<Request<Full<Bytes>>> for ReadyOnce {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready.set(true);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        assert!(self.ready.replace(false), "called without being ready");
        std::future::ready(Ok(if self.redirects == 0 {
            answer(200, &[], TOKEN)
        } else {
            self.redirects -= 1;
            answer(307, &[("location", "/again")], "")
        }))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let service = ReadyOnce {
        ready: Cell::new(true),
        redirects: 2,
    };
    let grant = grant(service);
    for _ in 0..2 {
        assert!(grant.fetch().await.is_ok());
    }
}

#[tokio::test]
async fn a_transport_error_is_the_source_of_the_error() {
    let service = tower::service_fn(|_: Request<Full<Bytes>>| async {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("no route"))
    });
    let reason = "auth.voipex.io could not be reached";
    let error = assert_fault(
        grant(service).fetch().await,
        TokenErrorKind::Connect,
        reason,
    );
    assert_eq!(error.source().expect("a source").to_string(), "no route");

    let own = TokenError::new(TokenErrorKind::Unavailable, "the vault is sealed");
    let service = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let own = own.clone();
        async move { Err::<Response<Full<Bytes>>, _>(own) }
    });
    let result = grant(service).fetch().await;
    assert_fault(result, TokenErrorKind::Unavailable, "the vault is sealed");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_to_connect() {
    let service = tower::service_fn(|_: Request<Full<Bytes>>| async {
        let body = Full::new(Bytes::from_static(b"{")).map_err(|e| match e {});
        let broken = BreaksOff(Some(body));
        Ok::<_, Infallible>(Response::new(broken))
    });
    let result = grant(service).fetch().await;
    assert_fault(result, TokenErrorKind::Connect, "broke off");
}

struct BreaksOff<B>(Option<B>);

impl<B: Body<Error = std::io::Error> + Unpin> Body for BreaksOff<B> {
    type Data = B::Data;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, std::io::Error>>> {
        match self.0.take() {
            Some(mut body) => Pin::new(&mut body).poll_frame(cx),
            None => Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into()))),
        }
    }
}

#[test]
fn outside_a_runtime_the_error_says_so() {
    let log = Log::default();
    let grant = grant(endpoint(&log, |_| answer(200, &[], TOKEN)));
    let mut fetch = std::pin::pin!(grant.fetch());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(result) = fetch.as_mut().poll(&mut cx) else {
        panic!("it waits for a runtime that never comes");
    };
    assert_fault(result, TokenErrorKind::NoRuntime, "outside a tokio runtime");
}

#[test]
fn a_grant_lives_in_a_static() {
    static GRANT: LazyLock<PasswordGrant> = LazyLock::new(|| PasswordGrant::voipex("me", PASSWORD));
    assert!(!format!("{:?}", *GRANT).contains(MARK));
}

#[cfg(feature = "reqwest")]
mod default_transport {
    use std::io::ErrorKind;
    use std::net::TcpListener;

    use super::support::{RawServer, raw};
    use super::*;

    fn grant(url: &str) -> PasswordGrant {
        PasswordGrant::new(url, "api", "me", PASSWORD).expect("valid")
    }

    #[tokio::test]
    async fn an_endpoint_without_a_listener_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let grant = grant(&format!("http://{address}/token?key=s3cret"));
        let result = grant.fetch().await;
        let reason = format!("{address} could not be reached");
        let error = assert_fault(result, TokenErrorKind::Connect, &reason);
        assert!(error.is_transient() && error.source().is_some());
    }

    #[tokio::test]
    async fn a_tls_failure_is_a_failure_to_connect() {
        let server = RawServer::start(vec![raw("400 Bad Request", "", "")]);
        let url = server.url().replace("http://", "https://");
        let result = grant(&url).fetch().await;
        let reason = "could not be reached";
        let error = assert_fault(result, TokenErrorKind::Connect, reason);
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        // The message of rustls for bytes that are not TLS.
        let tls = causes.iter().any(|cause| cause.contains("corrupt message"));
        assert!(tls, "{causes:?}");
        server.received();
    }

    #[tokio::test]
    async fn a_redirect_to_another_origin_takes_no_password_along() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port");
        elsewhere.set_nonblocking(true).expect("set");
        let address = elsewhere.local_addr().expect("an address");
        let location = format!("Location: http://{address}/token?p=hunter2\r\n");
        let server = RawServer::start(vec![raw("307 Temporary Redirect", &location, "")]);
        let result = grant(&server.url()).fetch().await;
        let reason = format!("another origin, http://{address} (307)");
        assert_fault(result, TokenErrorKind::UnexpectedRedirect, &reason);
        let accepted = elsewhere.accept().expect_err("no connection").kind();
        assert_eq!(accepted, ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn a_redirect_within_the_origin_is_followed_once_and_a_302_never() {
        let server = RawServer::start(vec![
            raw("308 Permanent Redirect", "Location: /b\r\n", ""),
            raw("200 OK", "", TOKEN),
        ]);
        grant(&server.url()).fetch().await.expect("a token");
        let received = server.received();
        assert!(received[1].0.starts_with("POST /b HTTP/1.1"));
        assert_eq!(received[0].1, received[1].1);

        let server = RawServer::start(vec![raw("302 Found", "Location: /b\r\n", "")]);
        let result = grant(&server.url()).fetch().await;
        assert_fault(result, TokenErrorKind::UnexpectedRedirect, "(302)");
    }

    #[tokio::test]
    async fn an_answer_cut_off_is_a_failure_to_connect() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\":\"t0ken";
        let server = RawServer::start(vec![cut.into()]);
        let result = grant(&server.url()).fetch().await;
        assert_fault(result, TokenErrorKind::Connect, "broke off");

        let server = RawServer::start(vec![String::new()]);
        let result = grant(&server.url()).fetch().await;
        assert_fault(result, TokenErrorKind::Connect, "could not be reached");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_meets_the_timeout() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = silent.local_addr().expect("an address");
        let grant = grant(&format!("http://{address}/token"))
            .timeout(Duration::from_millis(200))
            .expect("valid");
        let result = grant.fetch().await;
        assert_fault(result, TokenErrorKind::Timeout, "within 200ms");
    }

    #[test]
    fn one_grant_serves_one_runtime_after_another() {
        // The server keeps its connections open, and reads one request of each.
        let keep = "Connection: keep-alive\r\n";
        let answers = (0..4).map(|_| raw("200 OK", keep, TOKEN)).collect();
        let server = RawServer::start(answers);
        let grant = grant(&server.url());
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            for _ in 0..2 {
                runtime.block_on(grant.fetch()).expect("a token");
            }
        }
        assert_eq!(server.received().len(), 4);
    }
}
