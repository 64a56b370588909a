//! The requests, byte for byte.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use tower_bearer::testing::TokenServer;
use tower_bearer::{
    AccessToken, PasswordGrant, RefreshToken, TokenCache, TokenErrorKind, TokenSource,
    VoipexImpersonation,
};

use crate::support::{Log, Received, TOKEN, answer, endpoint};
use crate::world::{access, company, login};

const FORM: &str = "application/x-www-form-urlencoded";

/// The cache of an access whose token is `acc3ss`.
fn fixed_access() -> TokenCache {
    TokenCache::new(AccessToken::new("acc3ss").expect("a token"))
}

fn assert_request(request: &Received, uri: &str, content_type: &str, body: &str) {
    assert_eq!(request.uri, uri);
    assert_eq!(request.body, body);
    assert_eq!(request.headers[CONTENT_TYPE], content_type);
    assert_eq!(request.headers[ACCEPT], "application/json");
}

#[tokio::test]
async fn the_exchange_is_the_documented_request() {
    for (login, body) in [
        ("your@email.com", r#"{"email":"your@email.com"}"#),
        ("o\"neil\\@x.example", r#"{"email":"o\"neil\\@x.example"}"#),
        ("jiří@příklad.cz", r#"{"email":"jiří@příklad.cz"}"#),
    ] {
        let log = Log::default();
        let service = endpoint(&log, |_| answer(200, &[], TOKEN));
        let user = VoipexImpersonation::new(fixed_access(), login).transport(service);
        let response = user.fetch().await.expect("a token");
        assert_eq!(response.access_token().secret(), "t0ken");
        let [request] = log.all().try_into().expect("one request");
        let uri = "https://auth.voipex.io/token-exchange";
        assert_request(&request, uri, "application/json", body);
        assert_eq!(request.headers[AUTHORIZATION], "Bearer acc3ss");
        assert!(request.headers[AUTHORIZATION].is_sensitive());
    }
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn the_default_transport_sends_the_same_bytes() {
    use crate::support::{RawServer, raw};

    let server = RawServer::start(vec![raw("200 OK", "", TOKEN)]);
    let origin = server.url().replace("/token", "");
    let user = VoipexImpersonation::new(fixed_access(), "jiří@příklad.cz");
    let user = user.authorization_server(origin).expect("an origin");
    user.fetch().await.expect("a token");
    let (head, body) = server.received().remove(0);
    assert_eq!(body, r#"{"email":"jiří@příklad.cz"}"#);
    let head = head.to_ascii_lowercase();
    assert!(
        head.starts_with("post /token-exchange http/1.1\r\n"),
        "{head}"
    );
    for line in [
        "authorization: bearer acc3ss",
        "content-type: application/json",
        "accept: application/json",
        &format!("content-length: {}", body.len()),
    ] {
        let count = head.lines().filter(|it| *it == line).count();
        assert_eq!(count, 1, "{line}: {head}");
    }
}

#[tokio::test]
async fn a_scope_and_parameters_are_further_members() {
    let log = Log::default();
    let service = endpoint(&log, |_| answer(200, &[], TOKEN));
    let user = VoipexImpersonation::new(fixed_access(), "me").scope("openid profile");
    let user = user
        .param("pbx", "a\"b")
        .expect("a name")
        .transport(service);
    user.fetch().await.expect("a token");
    let body = r#"{"email":"me","scope":"openid profile","pbx":"a\"b"}"#;
    assert_eq!(log.all()[0].body, body);
}

#[tokio::test]
async fn a_refresh_goes_to_the_token_endpoint_with_the_public_client() {
    let log = Log::default();
    let service = endpoint(&log, |_| answer(200, &[], TOKEN));
    let user = VoipexImpersonation::new(fixed_access(), "me").transport(service);
    let token = RefreshToken::new("r3fresh").expect("a token");
    user.refresh(&token).await.expect("a token");
    let [request] = log.all().try_into().expect("one request");
    let body = "client_id=api&refresh_token=r3fresh&grant_type=refresh_token";
    assert_request(&request, "https://auth.voipex.io/token", FORM, body);
    assert!(!request.headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn a_login_with_the_documented_scope_has_it_at_its_end() {
    let log = Log::default();
    let service = endpoint(&log, |_| answer(200, &[], TOKEN));
    let grant = PasswordGrant::voipex("your@email.com", "p&w").scope("openid profile");
    grant.transport(service).fetch().await.expect("a token");
    let body = "client_id=api&username=your%40email.com&password=p%26w\
                &grant_type=password&scope=openid+profile";
    assert_request(&log.all()[0], "https://auth.voipex.io/token", FORM, body);
}

#[tokio::test]
async fn an_empty_login_is_an_error_and_nothing_is_sent() {
    for login in ["", " \t"] {
        let server = company(0, TokenServer::builder());
        let user = TokenCache::new(server.impersonation(&access(&server), login));
        let error = user.token().await.expect_err("no login");
        assert_eq!(error.kind(), TokenErrorKind::Config);
        let counts = server.counts();
        assert_eq!((counts.exchange_requests, counts.token_requests), (0, 0));
    }
}

#[tokio::test]
async fn a_login_with_quotes_and_beyond_ascii_arrives_as_it_is() {
    for login in [
        "o\"ne\\il@x.example",
        "jiří@příklad.cz",
        "{\"email\":\"x\"}",
    ] {
        let server = company(0, TokenServer::builder().user(login, "unknown"));
        let user = TokenCache::new(server.impersonation(&access(&server), login));
        user.token().await.expect("a token of this user");
        assert_eq!(server.counts().exchanges, 1);
    }
}

#[tokio::test]
async fn a_redirect_to_another_origin_takes_no_token_along() {
    for (status, location, sent) in [
        (307, "https://evil.example/token-exchange", 1),
        (302, "/elsewhere", 1),
        (307, "/elsewhere", 2),
    ] {
        let log = Log::default();
        let service = endpoint(&log, move |number| match number {
            0 => answer(status, &[("location", location)], ""),
            _ => answer(200, &[], TOKEN),
        });
        let user = VoipexImpersonation::new(fixed_access(), login(0)).transport(service);
        let fetched = user.fetch().await;
        let error = fetched.as_ref().err().map(|error| error.kind());
        let expected = (sent == 1).then_some(TokenErrorKind::UnexpectedRedirect);
        assert_eq!(error, expected, "{location}");
        let hosts = log
            .all()
            .into_iter()
            .map(|it| it.uri.host().map(str::to_owned));
        let hosts: Vec<_> = hosts.flatten().collect();
        assert_eq!(hosts, vec!["auth.voipex.io"; sent], "{location}");
    }
}

#[test]
fn a_server_that_is_no_origin_is_refused() {
    for origin in [
        "",
        "auth.voipex.io",
        "http://auth.voipex.io",
        "https://auth.voipex.io/realms",
        "https://me:hunter2@auth.voipex.io",
        "https://*.voipex.io",
    ] {
        let user = VoipexImpersonation::new(fixed_access(), "me");
        let error = user.authorization_server(origin).expect_err(origin);
        assert_eq!(error.field(), "authorization_server", "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
