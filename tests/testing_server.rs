//! The embedded server behaves as documented, in process and over sockets.

#![cfg(feature = "testing")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

use tower_bearer::testing::{MockResponse, TokenServer, TokenServerBuilder};

const FORM: &str = "application/x-www-form-urlencoded";
const PAIRS: [(&str, &str); 2] = [("client_id", "api"), ("username", "me")];

/// A response, read to its end.
#[derive(Debug)]
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_default().to_owned()
    }

    /// Status, `error` and `error_description`.
    fn refusal(&self) -> (u16, String, String) {
        let (code, what) = (self.text("error"), self.text("error_description"));
        (self.status.as_u16(), code, what)
    }
}

fn form(params: &[(&str, &str)]) -> Full<Bytes> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(params);
    form.finish().into()
}

async fn send(server: &TokenServer, request: Request<Full<Bytes>>) -> std::io::Result<Received> {
    let (parts, body) = server.service().oneshot(request).await?.into_parts();
    Ok(Received {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await?.to_bytes(),
    })
}

fn post(server: &TokenServer, path: &str, params: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let url = format!("{}{path}", server.api_url());
    let request = Request::post(url).header(CONTENT_TYPE, FORM);
    request.body(form(params)).expect("a request")
}

async fn request_token(server: &TokenServer, params: &[(&str, &str)]) -> Received {
    let request = post(server, "/token", params);
    send(server, request).await.expect("an answer")
}

async fn login(server: &TokenServer) -> Received {
    password_grant(server, server.username(), &server.password()).await
}

async fn password_grant(server: &TokenServer, username: &str, password: &str) -> Received {
    let [id, grant] = [
        ("client_id", server.client_id()),
        ("grant_type", "password"),
    ];
    let user = [("username", username), ("password", password)];
    request_token(server, &[id, user[0], user[1], grant]).await
}

async fn refresh(server: &TokenServer, refresh_token: &str) -> Received {
    let params = [
        ("client_id", server.client_id()),
        ("refresh_token", refresh_token),
        ("grant_type", "refresh_token"),
    ];
    request_token(server, &params).await
}

async fn call_api(server: &TokenServer, authorization: Option<&str>) -> Received {
    let mut request = Request::get(format!("{}/v1/calls", server.api_url()));
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    let request = request.body(Full::default()).expect("a request");
    send(server, request).await.expect("an answer")
}

async fn api_status(server: &TokenServer, answer: &Received) -> u16 {
    let value = format!("Bearer {}", answer.text("access_token"));
    call_api(server, Some(&value)).await.status.as_u16()
}

fn builder_with_me() -> TokenServerBuilder {
    TokenServer::builder().user("me", "pw")
}

fn refusal(status: u16, code: &str, what: &str) -> (u16, String, String) {
    (status, code.to_owned(), what.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_login_is_answered_as_voipex_does() {
    let server = TokenServer::builder().in_process();
    let answer = login(&server).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[CONTENT_TYPE], "application/json");
    let text = String::from_utf8(answer.body.to_vec()).expect("text");
    let at = |name: &str| text.find(&format!("\"{name}\":")).expect(name);
    let order = [
        "access_token",
        "expires_in",
        "refresh_expires_in",
        "refresh_token",
        "token_type",
        "not-before-policy",
        "session_state",
        "scope",
    ]
    .map(at);
    assert!(order.is_sorted(), "{text}");
    let json = answer.json();
    assert_eq!(json["expires_in"], 3000);
    assert_eq!(json["refresh_expires_in"], 7200);
    assert_eq!(json["not-before-policy"], 0);
    assert_eq!(json["token_type"], "Bearer");
    assert_eq!(json["scope"], "profile email");
    assert_eq!(answer.text("session_state").len(), 36);

    let access = answer.text("access_token");
    assert!((1050..1200).contains(&access.len()), "{}", access.len());
    assert_eq!(access.split('.').count(), 3);
    assert!(tower_bearer::AccessToken::new(&access).is_ok());
    assert_ne!(access, login(&server).await.text("access_token"));
}

#[tokio::test(start_paused = true)]
async fn each_refusal_is_keycloaks() {
    fn password<'a>(name: &'a str, pw: &'a str) -> [(&'a str, &'a str); 4] {
        let [id, _] = PAIRS;
        [
            id,
            ("username", name),
            ("password", pw),
            ("grant_type", "password"),
        ]
    }
    let wrong = "Invalid user credentials";
    let server = builder_with_me()
        .user("off", "pw")
        .user("todo", "pw")
        .in_process();
    server.disable_user("off");
    server.require_action("todo");
    for (params, expected) in [
        (password("me", "no"), refusal(401, "invalid_grant", wrong)),
        (
            password("nobody", "pw"),
            refusal(401, "invalid_grant", wrong),
        ),
        (password("todo", "no"), refusal(401, "invalid_grant", wrong)),
        (
            password("off", "pw"),
            refusal(400, "invalid_grant", "Account disabled"),
        ),
        (
            password("todo", "pw"),
            refusal(400, "invalid_grant", "Account is not fully set up"),
        ),
    ] {
        let answer = request_token(&server, &params).await;
        assert_eq!(answer.refusal(), expected, "{params:?}");
    }
    server.enable_user("off");
    server.enable_user("todo");
    for name in ["off", "todo"] {
        assert_eq!(
            request_token(&server, &password(name, "pw")).await.status,
            200
        );
    }
    server.set_password("me", "new");
    assert_eq!(
        request_token(&server, &password("me", "pw")).await.status,
        401
    );
    assert_eq!(
        request_token(&server, &password("me", "new")).await.status,
        200
    );
    assert_eq!(server.password(), "new");

    let later = builder_with_me()
        .wrong_password_status(StatusCode::BAD_REQUEST)
        .in_process();
    let answer = request_token(&later, &password("me", "no")).await;
    assert_eq!(answer.refusal(), refusal(400, "invalid_grant", wrong));
    // Which of the two errors comes first changed with the status.
    let disabled = "Account disabled";
    for (server, says) in [(&server, disabled), (&later, wrong)] {
        server.disable_user("me");
        let answer = request_token(server, &password("me", "no")).await;
        assert_eq!(answer.refusal(), refusal(400, "invalid_grant", says));
        let right = server.password();
        let answer = request_token(server, &password("me", &right)).await;
        assert_eq!(answer.refusal(), refusal(400, "invalid_grant", disabled));
        server.enable_user("me");
    }

    let closed = builder_with_me().direct_grants(false).in_process();
    let (status, code, _) = request_token(&closed, &password("me", "pw"))
        .await
        .refusal();
    assert_eq!((status, code.as_str()), (400, "unauthorized_client"));

    for (params, status, code) in [
        (
            &[("client_id", "other"), ("grant_type", "password")][..],
            401,
            "invalid_client",
        ),
        (&[("grant_type", "password")], 401, "invalid_client"),
        (
            &[PAIRS[0], ("grant_type", "magic")],
            400,
            "unsupported_grant_type",
        ),
        (&[PAIRS[0]], 400, "invalid_request"),
        (
            &[PAIRS[0], PAIRS[1], PAIRS[1], ("grant_type", "password")],
            400,
            "invalid_request",
        ),
        (
            &[PAIRS[0], ("grant_type", "password")],
            401,
            "invalid_request",
        ),
        (
            &[PAIRS[0], ("grant_type", "refresh_token")],
            400,
            "invalid_request",
        ),
        (
            &[PAIRS[0], ("grant_type", "client_credentials")],
            401,
            "unauthorized_client",
        ),
    ] {
        let answer = request_token(&server, params).await;
        let (found, error, _) = answer.refusal();
        assert_eq!((found, error.as_str()), (status, code), "{params:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_a_posted_form_is_refused() {
    let server = builder_with_me().in_process();
    let get = Request::get(server.token_url()).body(Full::default());
    let answer = send(&server, get.expect("a request"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 405);
    assert_eq!(answer.json().get("error_description"), None);
    assert_eq!(answer.headers["allow"], "POST");
    for content_type in [None, Some("application/json"), Some("text/plain")] {
        let mut request = post(&server, "/token", &[PAIRS[0], ("grant_type", "password")]);
        request.headers_mut().remove(CONTENT_TYPE);
        if let Some(value) = content_type {
            let value = value.parse().expect("a header value");
            request.headers_mut().insert(CONTENT_TYPE, value);
        }
        let answer = send(&server, request).await.expect("an answer");
        let says = "Missing form parameter: grant_type";
        let expected = refusal(400, "invalid_request", says);
        assert_eq!(answer.refusal(), expected, "{content_type:?}");
    }
    assert_eq!(server.counts().refused, 4);
}

#[tokio::test(start_paused = true)]
async fn the_metadata_say_where_the_endpoints_are() {
    let server = builder_with_me().in_process();
    for path in ["openid-configuration", "oauth-authorization-server"] {
        let url = format!("{}/.well-known/{path}", server.api_url());
        let get = Request::get(&url).body(Full::default());
        let answer = send(&server, get.expect("a request")).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.headers["content-type"], "application/json");
        let own = [
            "issuer",
            "token_endpoint",
            "end_session_endpoint",
            "revocation_endpoint",
        ];
        let paths = ["", "/token", "/logout", "/revoke"];
        for (member, path) in own.into_iter().zip(paths) {
            assert_eq!(answer.text(member), format!("{}{path}", server.api_url()));
        }
        let post = Request::post(&url).body(Full::default());
        let answer = send(&server, post.expect("a request")).await;
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.status, &answer.headers["allow"]),
            (
                StatusCode::METHOD_NOT_ALLOWED,
                &"GET".parse().expect("a value")
            )
        );
    }
    assert_eq!(server.counts().discovery_requests, 2);
}

#[tokio::test(start_paused = true)]
async fn a_clients_secret_may_come_in_header_or_form_and_must_be_right() {
    let secret = "s&c=r t%";
    let server = builder_with_me().client_secret(secret).in_process();
    let grant = ("grant_type", "client_credentials");
    let basic = |secret: &str| {
        let pair: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("api:{pair}"));
        let mut request = post(&server, "/token", &[grant]);
        let value = format!("Basic {pair}").parse().expect("a header value");
        request.headers_mut().insert(AUTHORIZATION, value);
        request
    };

    let by_form = request_token(&server, &[PAIRS[0], ("client_secret", secret), grant]).await;
    let by_header = send(&server, basic(secret)).await.expect("an answer");
    for answer in [by_form, by_header] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json().get("refresh_token"), None);
        assert_eq!(answer.json().get("session_state"), None);
        assert_eq!(api_status(&server, &answer).await, 200);
    }

    let by_header = send(&server, basic("wrong")).await.expect("an answer");
    assert_eq!(by_header.headers.get(WWW_AUTHENTICATE), None);
    let none = request_token(&server, &[PAIRS[0], grant]).await;
    let by_form = request_token(&server, &[PAIRS[0], ("client_secret", "wrong"), grant]).await;
    for answer in [by_header, none, by_form] {
        let (status, code, _) = answer.refusal();
        assert_eq!((status, code.as_str()), (401, "unauthorized_client"));
    }
    let counts = server.counts();
    assert_eq!((counts.client_credentials_grants, counts.refused), (2, 3));
    assert_eq!(counts.open_sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn tokens_live_as_long_as_they_say_and_no_longer() {
    let server = builder_with_me().in_process();
    let first = login(&server).await;
    sleep(Duration::from_secs(2999)).await;
    assert_eq!(api_status(&server, &first).await, 200);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(api_status(&server, &first).await, 401);

    let second = refresh(&server, &first.text("refresh_token")).await;
    assert_eq!(second.text("session_state"), first.text("session_state"));
    assert_eq!(api_status(&server, &second).await, 200);
    sleep(Duration::from_secs(4200)).await;
    let expired = refresh(&server, &first.text("refresh_token")).await;
    assert_eq!(
        expired.refusal(),
        refusal(400, "invalid_grant", "Token is not active")
    );
    assert_eq!(
        refresh(&server, &second.text("refresh_token")).await.status,
        200
    );

    assert_eq!(server.counts().open_sessions, 1);
    sleep(Duration::from_secs(7200)).await;
    assert_eq!(server.counts().open_sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_lifetime_of_zero_is_no_fixed_end_and_none_is_no_token() {
    let endless = builder_with_me()
        .refresh_token_lifetime(Duration::ZERO)
        .in_process();
    let answer = login(&endless).await;
    assert_eq!(answer.json()["refresh_expires_in"], 0);
    sleep(Duration::from_secs(1_000_000)).await;
    assert_eq!(
        refresh(&endless, &answer.text("refresh_token"))
            .await
            .status,
        200
    );

    let none = builder_with_me().no_refresh_tokens().in_process();
    let answer = login(&none).await;
    assert_eq!(answer.json().get("refresh_token"), None);
    assert_eq!(none.counts().open_sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_replayed_refresh_token_detaches_the_winners_session_too() {
    let server = builder_with_me().rotate_refresh_tokens(true).in_process();
    let bystander = login(&server).await;
    let first = login(&server).await;
    let winner = refresh(&server, &first.text("refresh_token")).await;
    assert_eq!(api_status(&server, &winner).await, 200);

    let loser = refresh(&server, &first.text("refresh_token")).await;
    let exceeded = "Maximum allowed refresh token reuse exceeded";
    assert_eq!(loser.refusal(), refusal(400, "invalid_grant", exceeded));
    assert_eq!(api_status(&server, &winner).await, 401);
    let again = refresh(&server, &winner.text("refresh_token")).await;
    assert_eq!(
        again.refusal(),
        refusal(400, "invalid_grant", "Session doesn't have required client")
    );

    assert_eq!(api_status(&server, &bystander).await, 200);
    let counts = server.counts();
    // The session itself stays open, without a client.
    assert_eq!((counts.refresh_token_reuses, counts.open_sessions), (1, 2));
    assert_eq!((counts.password_grants, counts.refresh_grants), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn with_one_refresh_token_per_account_a_login_ends_that_of_an_earlier_one() {
    let server = builder_with_me()
        .user("you", "pw")
        .one_refresh_token_per_account(true)
        .in_process();
    let other = password_grant(&server, "you", "pw").await;
    let first = login(&server).await;
    let second = login(&server).await;
    let ended = refresh(&server, &first.text("refresh_token")).await;
    assert_eq!(
        ended.refusal(),
        refusal(400, "invalid_grant", "Invalid refresh token")
    );
    for alive in [&second, &other] {
        let refreshed = refresh(&server, &alive.text("refresh_token")).await;
        assert_eq!(refreshed.status, 200);
    }
    assert_eq!(api_status(&server, &first).await, 200);
}

#[tokio::test(start_paused = true)]
async fn lifetimes_are_text_where_the_builder_says_so() {
    let server = builder_with_me().lifetimes_as_text(true).in_process();
    let answer = login(&server).await.json();
    assert_eq!(answer["expires_in"], "3000");
    assert_eq!(answer["refresh_expires_in"], "7200");
}

#[tokio::test(start_paused = true)]
async fn responses_are_forms_where_the_builder_says_so() {
    let server = builder_with_me().form_responses(true).in_process();
    let answer = login(&server).await;
    assert_eq!(answer.headers[CONTENT_TYPE], FORM);
    let pairs: std::collections::HashMap<_, _> =
        url::form_urlencoded::parse(&answer.body).collect();
    assert_eq!(pairs["expires_in"], "3000");
    assert_eq!(pairs["scope"], "profile email");
    let token = &pairs["access_token"];
    let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}"));
    let request = request.body(Full::default()).expect("valid");
    let answer = send(&server, request).await.expect("an answer");
    assert_eq!(answer.status, 200);
    let refused = password_grant(&server, "me", "wrong").await;
    assert_eq!(refused.status, 401);
    assert!(
        refused.body.starts_with(b"error=invalid_grant&"),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cache_reads_whatever_its_server_is_set_to() {
    for builder in [
        builder_with_me().lifetimes_as_text(true),
        builder_with_me().form_responses(true),
        builder_with_me()
            .lifetimes_as_text(true)
            .form_responses(true),
        builder_with_me().one_refresh_token_per_account(true),
    ] {
        let server = builder.in_process();
        let tokens = tower_bearer::TokenCache::new(server.grant());
        let token = tokens.token().await.expect("a token");
        assert_eq!(token.lifetime(), Some(Duration::from_secs(3000)));
        sleep(Duration::from_secs(2900)).await;
        tokens.token().await.expect("a token");
        sleep(Duration::from_secs(1)).await;
        let counts = server.counts();
        assert_eq!((counts.password_grants, counts.refresh_grants), (1, 1));
        server.set_password("me", "changed");
        server.end_sessions();
        tokens.invalidate();
        let error = tokens.token().await.expect_err("refused");
        assert_eq!(error.oauth_error(), Some("invalid_grant"));
        assert_eq!(error.description(), Some("Invalid user credentials"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_older_than_the_last_one_used_is_stale() {
    let server = builder_with_me().rotate_refresh_tokens(true).in_process();
    let first = login(&server).await;
    let second = refresh(&server, &first.text("refresh_token")).await;
    refresh(&server, &second.text("refresh_token")).await;
    let stale = refresh(&server, &first.text("refresh_token")).await;
    assert_eq!(
        stale.refusal(),
        refusal(400, "invalid_grant", "Stale token")
    );
    assert_eq!(server.counts().refresh_token_reuses, 1);
}

#[tokio::test(start_paused = true)]
async fn without_rotation_a_refresh_token_is_good_many_times() {
    let server = builder_with_me().in_process();
    let first = login(&server).await;
    for _ in 0..3 {
        assert_eq!(
            refresh(&server, &first.text("refresh_token")).await.status,
            200
        );
    }
    assert_eq!(server.counts().refresh_token_reuses, 0);
}

#[tokio::test(start_paused = true)]
async fn each_way_to_end_tokens_ends_those_it_names() {
    let server = builder_with_me().in_process();

    let tokens = login(&server).await;
    server.revoke_access_tokens();
    assert_eq!(api_status(&server, &tokens).await, 401);
    let tokens = refresh(&server, &tokens.text("refresh_token")).await;
    assert_eq!(api_status(&server, &tokens).await, 200);

    server.push_not_before();
    assert_eq!(api_status(&server, &tokens).await, 401);
    let stale = refresh(&server, &tokens.text("refresh_token")).await;
    assert_eq!(
        stale.refusal(),
        refusal(400, "invalid_grant", "Stale token")
    );
    let tokens = login(&server).await;
    assert!(tokens.json()["not-before-policy"].as_u64() > Some(1_700_000_000));

    server.disable_user("me");
    let disabled = refresh(&server, &tokens.text("refresh_token")).await;
    assert_eq!(
        disabled.refusal(),
        refusal(400, "invalid_grant", "User disabled")
    );
    assert_eq!(api_status(&server, &tokens).await, 200);
    server.enable_user("me");

    let unknown = refresh(&server, "nonsense").await;
    assert_eq!(
        unknown.refusal(),
        refusal(400, "invalid_grant", "Invalid refresh token")
    );

    server.end_sessions();
    assert_eq!(api_status(&server, &tokens).await, 401);
    let ended = refresh(&server, &tokens.text("refresh_token")).await;
    assert_eq!(
        ended.refusal(),
        refusal(400, "invalid_grant", "Session not active")
    );
    assert_eq!(server.counts().open_sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn logout_and_revoke_end_sessions_and_tokens() {
    let server = builder_with_me().in_process();
    let (kept, out) = (login(&server).await, login(&server).await);
    let secret = out.text("refresh_token");
    let request = post(&server, "/logout", &[PAIRS[0], ("refresh_token", &secret)]);
    assert_eq!(send(&server, request).await.expect("an answer").status, 204);
    assert_eq!(api_status(&server, &out).await, 401);
    assert_eq!(refresh(&server, &secret).await.status, 400);
    let request = post(
        &server,
        "/logout",
        &[PAIRS[0], ("refresh_token", "nonsense")],
    );
    assert_eq!(send(&server, request).await.expect("an answer").status, 400);
    let request = post(&server, "/logout", &[]);
    assert_eq!(send(&server, request).await.expect("an answer").status, 200);
    let request = post(&server, "/revoke", &[PAIRS[0], ("token", "nonsense")]);
    let answer = send(&server, request).await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text("error"), "invalid_token");

    for name in ["access_token", "refresh_token", "scope"] {
        assert_eq!(
            refresh(&server, &kept.text("refresh_token")).await.status,
            200
        );
        let request = post(&server, "/revoke", &[PAIRS[0], ("token", &kept.text(name))]);
        assert_eq!(send(&server, request).await.expect("an answer").status, 200);
        assert_eq!(api_status(&server, &kept).await, 401, "{name}");
        if name == "refresh_token" {
            break;
        }
    }
    assert_eq!(server.counts().open_sessions, 0);
    assert_eq!(server.token_requests(), 5, "neither is a token request");
}

#[tokio::test(start_paused = true)]
async fn the_api_distinguishes_a_missing_token_from_an_invalid_one() {
    let server = builder_with_me().in_process();
    let none = call_api(&server, None).await;
    assert_eq!(none.status, 401);
    assert_eq!(none.headers[WWW_AUTHENTICATE], "Bearer");
    let token = login(&server).await.text("access_token");
    let cut = format!("Bearer {}", &token[1..]);
    for value in [cut.as_str(), "Bearer x", "Bearer", "Basic YTpi", &token] {
        let bad = call_api(&server, Some(value)).await;
        assert_eq!(bad.status, 401, "{value}");
        let challenge = bad.headers[WWW_AUTHENTICATE].to_str().expect("text");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    let good = call_api(&server, Some(&format!("bearer {token}"))).await;
    assert_eq!(
        (good.status.as_u16(), &good.body[..]),
        (200, &b"{\"ok\":true}"[..])
    );
    let counts = server.counts();
    let api = (counts.api_requests, counts.api_ok, counts.api_unauthorized);
    assert_eq!(api, (7, 1, 6));
}

#[tokio::test(start_paused = true)]
async fn mock_responses_come_in_order_then_the_default_then_the_servers_own() {
    let server = builder_with_me().in_process();
    server.token_endpoint().set_default(MockResponse::error(
        StatusCode::BAD_REQUEST,
        "invalid_scope",
    ));
    server.token_endpoint().enqueue([
        MockResponse::status(StatusCode::TOO_MANY_REQUESTS).retry_after("soon"),
        MockResponse::body(StatusCode::OK, "text/html", "<html>"),
        MockResponse::redirect(StatusCode::TEMPORARY_REDIRECT, "https://evil.test/token"),
        MockResponse::default(),
    ]);
    let busy = login(&server).await;
    assert_eq!(busy.status, 429);
    assert_eq!(busy.headers[RETRY_AFTER], "soon");
    let html = login(&server).await;
    assert_eq!(html.headers[CONTENT_TYPE], "text/html");
    assert_eq!(&html.body[..], b"<html>");
    let redirect = login(&server).await;
    assert_eq!(redirect.status, 307);
    assert_eq!(redirect.headers[LOCATION], "https://evil.test/token");
    assert_eq!(login(&server).await.status, 200);
    for _ in 0..3 {
        let (status, code, _) = login(&server).await.refusal();
        assert_eq!((status, code.as_str()), (400, "invalid_scope"));
    }
    server.clear_responses();
    assert_eq!(login(&server).await.status, 200);
    let counts = server.counts();
    assert_eq!((counts.token_requests, counts.refused), (8, 4));
    assert_eq!(counts.password_grants, 2);
}

#[tokio::test(start_paused = true)]
async fn members_of_the_default_response_can_be_invalid() {
    let server = builder_with_me().in_process();
    server.token_endpoint().enqueue([MockResponse::default()
        .param("expires_in", "1e30")
        .param("token_type", "\"mac\"")
        .param("more", "[]")
        .without("refresh_token")]);
    let answer = login(&server).await;
    let text = String::from_utf8(answer.body.to_vec()).expect("text");
    assert!(text.contains("\"expires_in\":1e30,"), "{text}");
    assert!(text.contains("\"token_type\":\"mac\"") && text.contains("\"more\":[]"));
    assert!(!text.contains("refresh_token"));
    assert_eq!(api_status(&server, &answer).await, 200);
}

#[tokio::test(start_paused = true)]
async fn faults_happen_in_process_as_on_a_wire() {
    let server = builder_with_me().in_process();
    let request = || post(&server, "/token", &[PAIRS[0], ("grant_type", "magic")]);
    server.token_endpoint().enqueue([
        MockResponse::close(),
        MockResponse::hang(),
        MockResponse::endless(),
    ]);

    let error = send(&server, request()).await.expect_err("closed");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let started = Instant::now();
    let hour = Duration::from_secs(3600);
    assert!(timeout(hour, send(&server, request())).await.is_err());
    assert_eq!(started.elapsed(), hour);

    let mut body = server
        .service()
        .oneshot(request())
        .await
        .expect("a head")
        .into_body();
    let mut read = 0;
    while read < 1024 * 1024 {
        let frame = body.frame().await.expect("no end").expect("no error");
        read += frame.into_data().expect("data").len();
    }
    let read = timeout(Duration::from_secs(10), body.collect()).await;
    assert!(read.is_err(), "the body ended");

    for at in [0, 10, usize::MAX] {
        server.token_endpoint().enqueue([
            MockResponse::default().close_at(at),
            MockResponse::default().stall_at(at),
        ]);
        let mut body = server
            .service()
            .oneshot(request())
            .await
            .expect("a head")
            .into_body();
        let mut whole = 0;
        let error = loop {
            match body.frame().await.expect("an error, not an end") {
                Ok(frame) => whole += frame.into_data().expect("data").len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(whole <= at, "{whole}");
        assert!(timeout(hour, send(&server, request())).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn delays_delay_the_response_but_not_its_effect() {
    let server = builder_with_me()
        .rotate_refresh_tokens(true)
        .delay(Duration::from_secs(2))
        .in_process();
    let started = Instant::now();
    let first = login(&server).await;
    assert_eq!(started.elapsed(), Duration::from_secs(2));
    server.set_delay(Duration::from_secs(5));
    server
        .token_endpoint()
        .enqueue([MockResponse::default().after(Duration::from_secs(60))]);

    // A client that leaves has used the refresh token.
    let secret = first.text("refresh_token");
    let left = timeout(Duration::from_secs(59), refresh(&server, &secret)).await;
    assert!(left.is_err());
    let started = Instant::now();
    assert_eq!(refresh(&server, &secret).await.status, 400);
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    assert_eq!(server.counts().refresh_token_reuses, 1);
    // At the API the token is checked after the delay.
    server.set_delay(Duration::ZERO);
    let tokens = login(&server).await;
    server
        .api()
        .enqueue([MockResponse::default().after(Duration::from_secs(1))]);
    let (status, ()) = tokio::join!(api_status(&server, &tokens), async {
        sleep(Duration::from_millis(500)).await;
        server.revoke_access_tokens();
    });
    assert_eq!(status, 401);
}

#[tokio::test(start_paused = true)]
async fn the_api_and_the_token_endpoint_have_mock_responses_of_their_own() {
    let server = builder_with_me().in_process();
    let header = format!("Bearer {}", login(&server).await.text("access_token"));
    server.api().enqueue([
        MockResponse::unauthorized([""; 0]),
        MockResponse::unauthorized(["Basic realm=\"a\"", "Bearer"]),
        MockResponse::insufficient_scope("admin"),
        MockResponse::status(StatusCode::SERVICE_UNAVAILABLE),
    ]);
    let mut challenges = Vec::new();
    for status in [401, 401, 403, 503, 200] {
        let answer = call_api(&server, Some(&header)).await;
        assert_eq!(answer.status, status);
        challenges.push(answer.headers.get_all(WWW_AUTHENTICATE).iter().count());
    }
    assert_eq!(challenges, [0, 2, 1, 0, 0]);

    server.api().set_default(MockResponse::echo());
    for (authorization, status, expected) in [(Some(&header), 200, "hello"), (None, 401, "")] {
        let mut request = Request::post("http://localhost/v1").header(CONTENT_TYPE, "text/plain");
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::from("hello")).expect("a request");
        let answer = send(&server, request).await.expect("an answer");
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (status, expected.as_bytes())
        );
    }
    assert_eq!(login(&server).await.status, 200);
    let counts = server.counts();
    assert_eq!(
        (counts.api_requests, counts.api_ok, counts.api_unauthorized),
        (7, 2, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_logins_at_once_are_counted_each() {
    let server = builder_with_me().delay(Duration::from_secs(1)).in_process();
    let calls = (0..1000).map(|_| {
        let request = post(
            &server,
            "/token",
            &[
                PAIRS[0],
                PAIRS[1],
                ("password", "pw"),
                ("grant_type", "password"),
            ],
        );
        tokio::spawn(server.service().oneshot(request))
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(
            call.await.expect("no panic").expect("an answer").status(),
            200
        );
    }
    let counts = server.counts();
    assert_eq!(
        (counts.token_requests, counts.password_grants),
        (1000, 1000)
    );
    assert_eq!(
        (counts.max_concurrent_token_requests, counts.open_sessions),
        (1000, 1000)
    );
    login(&server).await;
    assert_eq!(server.counts().max_concurrent_token_requests, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_over_either_protocol_are_counted_each() {
    for http2 in [false, true] {
        let server = TokenServer::start().await.expect("a server");
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .build_http();
        let answer = client
            .request(post(
                &server,
                "/token",
                &[
                    ("client_id", "api"),
                    ("username", server.username()),
                    ("password", &server.password()),
                    ("grant_type", "password"),
                ],
            ))
            .await
            .expect("an answer");
        let json = answer
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        let json: Value = serde_json::from_slice(&json).expect("JSON");
        let header = format!("Bearer {}", json["access_token"].as_str().expect("a token"));

        let calls: Vec<_> = (0..1000)
            .map(|i| {
                let request = Request::get(format!("{}/v1/{i}", server.api_url()))
                    .header(
                        AUTHORIZATION,
                        if i % 10 == 0 { "Bearer x" } else { &header },
                    )
                    .body(Full::default())
                    .expect("a request");
                tokio::spawn(client.request(request))
            })
            .collect();
        for call in calls {
            let answer = call.await.expect("no panic").expect("an answer");
            answer.into_body().collect().await.expect("a body");
        }
        let counts = server.counts();
        let api = (counts.api_requests, counts.api_ok, counts.api_unauthorized);
        assert_eq!(api, (1000, 900, 100), "HTTP/2: {http2}");
        assert_eq!(counts.token_requests, 1);
    }
}

/// Sends a raw token request, and reads until the server closes the connection or is
/// silent for a while. Returns `true` if it closed.
async fn raw_token_request(server: &TokenServer) -> (String, bool) {
    let address: SocketAddr = server.api_url()["http://".len()..]
        .parse()
        .expect("an address");
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let silence = Duration::from_millis(300);
        stream.set_read_timeout(Some(silence)).expect("a timeout");
        let head = format!("POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\n");
        write!(stream, "{head}Content-Length: 1\r\n\r\na").expect("a request");
        let (mut read, mut piece) = (Vec::new(), [0; 4096]);
        let closed = loop {
            match stream.read(&mut piece) {
                Ok(0) => break true,
                Ok(n) if read.len() < 100_000 => read.extend_from_slice(&piece[..n]),
                Ok(_) => break false,
                Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        };
        (String::from_utf8_lossy(&read).into_owned(), closed)
    })
    .await
    .expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_reach_the_wire() {
    let server = TokenServer::start().await.expect("a server");
    let html = || MockResponse::body(StatusCode::OK, "text/html", "<html></html>");

    server
        .token_endpoint()
        .enqueue([MockResponse::close(), MockResponse::hang()]);
    assert_eq!(raw_token_request(&server).await, (String::new(), true));
    assert_eq!(raw_token_request(&server).await, (String::new(), false));

    server
        .token_endpoint()
        .enqueue([html().close_at(6), html().stall_at(6), html()]);
    for (end, closed) in [("<html>", true), ("<html>", false), ("</html>", false)] {
        let (text, was_closed) = raw_token_request(&server).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("content-length: 13\r\n"), "{text}");
        assert!(text.ends_with(end), "{text}");
        assert_eq!(was_closed, closed, "{text}");
    }

    server.token_endpoint().enqueue([MockResponse::endless()]);
    let (text, closed) = raw_token_request(&server).await;
    assert!(text.len() > 10_000 && !closed, "{} bytes", text.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_reach_clients_over_http2() {
    let server = TokenServer::start().await.expect("a server");
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    server.token_endpoint().enqueue([
        MockResponse::close(),
        MockResponse::default().close_at(5),
        MockResponse::hang(),
    ]);
    let request = || post(&server, "/token", &[PAIRS[0], ("grant_type", "magic")]);
    client.request(request()).await.expect_err("closed");
    let answer = client.request(request()).await.expect("a head");
    answer.into_body().collect().await.expect_err("cut");
    let hung = timeout(Duration::from_millis(200), client.request(request())).await;
    assert!(hung.is_err());
    let next = client.request(request()).await.expect("an answer");
    assert_eq!(next.status(), 400);
}

fn is_free(address: &str) -> bool {
    TcpListener::bind(address).is_ok()
}

#[tokio::test]
async fn a_server_that_was_dropped_frees_its_port_and_leaves_no_task() {
    let runtime = tokio::runtime::Handle::current();
    for (http2, wait) in [(false, true), (true, true), (false, false), (true, false)] {
        let server = TokenServer::start().await.expect("a server");
        let address = server.api_url()["http://".len()..].to_owned();
        assert!(!is_free(&address));
        server.token_endpoint().enqueue([MockResponse::hang()]);
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .build_http();
        let hung = tokio::spawn(client.request(post(&server, "/token", &[])));
        while server.token_requests() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        if wait {
            server.shutdown().await;
            assert!(is_free(&address));
        } else {
            drop(server);
        }
        let ends = async {
            assert!(hung.await.expect("no panic").is_err());
            drop(client);
            while !is_free(&address) || runtime.metrics().num_alive_tasks() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(5), ends).await.expect("an end");
    }
}

#[tokio::test]
async fn responses_in_progress_are_finished_when_the_server_stops() {
    let server = builder_with_me()
        .delay(Duration::from_millis(200))
        .start()
        .await
        .expect("a server");
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let call = tokio::spawn(client.request(post(&server, "/token", &[PAIRS[0]])));
    while server.token_requests() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let started = Instant::now();
    server.shutdown().await;
    let took = started.elapsed();
    assert!(
        took < Duration::from_millis(900),
        "waited for idle connections: {took:?}"
    );
    assert_eq!(
        call.await.expect("no panic").expect("an answer").status(),
        400
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_is_shown() {
    let builder = TokenServer::builder()
        .user("me", "hunter2")
        .client_secret("s3cret");
    let shown = format!("{builder:?}");
    let server = builder.in_process();
    let params = [
        PAIRS[0],
        PAIRS[1],
        ("password", "hunter2"),
        ("client_secret", "s3cret"),
        ("grant_type", "password"),
    ];
    let answer = server
        .service()
        .oneshot(post(&server, "/token", &params))
        .await;
    let answer = answer.expect("an answer");
    let mock =
        MockResponse::body(StatusCode::OK, "text/plain", "hunter2").header(LOCATION, "s3cret");
    let shown = format!(
        "{shown} {server:?} {:?} {answer:?} {mock:?}",
        server.service()
    );
    assert!(
        !shown.contains("hunter2") && !shown.contains("s3cret"),
        "{shown}"
    );
    assert!(!shown.contains("eyJ"), "{shown}");
}
