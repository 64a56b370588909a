//! Ending a session: `revoke` and `shutdown`.

#![cfg(feature = "testing")]

mod common;
mod support;

use tokio::time::{Instant, sleep};

use common::{api, at_once, parked, secs, send, served, token};
use support::{Log, answer, endpoint};
use tower_bearer::testing::{MockResponse, TokenServer, TokenServerBuilder};
use tower_bearer::{
    AccessToken, Error, PasswordGrant, RefreshToken, TokenCache, TokenError, TokenErrorKind,
    TokenSource,
};

fn server() -> TokenServerBuilder {
    TokenServer::builder()
}

#[tokio::test(start_paused = true)]
async fn revoke_ends_the_session_and_the_next_caller_logs_in() {
    let (server, tokens) = served(server());
    let old = tokens.token().await.expect("a token");
    tokens.revoke().await.expect("revoked");
    assert_eq!(server.counts().open_sessions, 0);
    let new = tokens.token().await.expect("a token");
    assert_eq!((old.generation(), new.generation()), (1, 2));
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.refresh_grants), (2, 0));
    assert_eq!(counts.open_sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_live_token_is_ended_too() {
    let (server, tokens) = served(server());
    tokens.token().await.expect("a token");
    tokens.invalidate();
    tokens.revoke().await.expect("revoked");
    assert_eq!(server.counts().open_sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_session_no_request_is_sent() {
    let log = Log::default();
    let tokens = TokenCache::new(
        PasswordGrant::voipex("me", "pw").transport(endpoint(&log, |_| answer(200, &[], ""))),
    );
    tokens.revoke().await.expect("nothing to do");
    tokens.shutdown().await.expect("nothing to do");
    assert!(log.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_under_way_is_waited_for_and_its_session_ended() {
    for shut_down in [false, true] {
        let (server, tokens) = served(server().delay(secs(2)));
        let caller = parked({
            let tokens = tokens.clone();
            async move { tokens.token().await }
        })
        .await;
        // The request is on its way.
        tokio::task::yield_now().await;
        let start = Instant::now();
        if shut_down {
            tokens.shutdown().await.expect("shut down");
        } else {
            tokens.revoke().await.expect("revoked");
        }
        assert!(start.elapsed() >= secs(2), "{:?}", start.elapsed());
        let counts = server.counts();
        assert_eq!((counts.password_grants, counts.open_sessions), (1, 0));
        if shut_down {
            let error = caller.await.expect_err("shut down");
            assert_eq!(error.kind(), TokenErrorKind::ShutDown);
            assert_eq!(server.counts().password_grants, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_when_the_caller_leaves() {
    let (server, tokens) = served(server().delay(secs(2)));
    let token = tokens.token();
    token.await.expect("a token");
    let revoking = parked({
        let tokens = tokens.clone();
        async move { tokens.revoke().await }
    })
    .await;
    drop(revoking);
    sleep(secs(3)).await;
    assert_eq!(server.counts().open_sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_bounded_in_time() {
    for limit in [1, 5] {
        struct Silent;
        impl TokenSource for Silent {
            async fn fetch(&self) -> Result<tower_bearer::TokenResponse, tower_bearer::TokenError> {
                token("t", 60).map(Into::into)
            }
            async fn revoke(
                &self,
                _: Option<&AccessToken>,
                _: Option<&RefreshToken>,
            ) -> Result<(), tower_bearer::TokenError> {
                std::future::pending().await
            }
        }
        let builder = TokenCache::builder(Silent).revoke_timeout(secs(limit));
        let tokens = builder.build().expect("valid");
        tokens.token().await.expect("a token");
        let start = Instant::now();
        let error = tokens.revoke().await.expect_err("late");
        assert_eq!(error.kind(), TokenErrorKind::Timeout);
        assert_eq!(start.elapsed().as_secs(), limit);
    }
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_there_are_no_tokens_and_no_requests() {
    let (server, tokens) = served(server());
    tokens.keep_warm();
    let api = api(&server, &tokens);
    send(&api).await.expect("an answer");
    tokens.shutdown().await.expect("shut down");
    tokens.reset();
    tokens.keep_warm();
    let before = server.counts();
    sleep(secs(24 * 3600)).await;
    match send(&api).await {
        Err(Error::Token(error)) => assert_eq!(error.kind(), TokenErrorKind::ShutDown),
        other => panic!("{other:?}"),
    }
    let error = at_once(tokens.token()).expect("at once").expect_err("none");
    assert_eq!(error.kind(), TokenErrorKind::ShutDown);
    assert!(tokens.status().is_closed);
    assert_eq!(server.counts(), before);
    assert_eq!(before.open_sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_is_sent_again_with_a_token_of_the_new_session() {
    let (server, tokens) = served(server());
    let api = api(&server, &tokens);
    send(&api).await.expect("an answer");
    let script = MockResponse::default().after(secs(2));
    server.api().enqueue([script]);
    let request = tokio::spawn({
        let api = api.clone();
        async move { send(&api).await }
    });
    sleep(secs(1)).await;
    tokens.revoke().await.expect("revoked");
    let answer = request.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(server.counts().open_sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_ended_is_dropped_all_the_same() {
    let (server, _) = served(server());
    let plain = || {
        PasswordGrant::new(server.token_url(), "api", "me", "pw")
            .expect("valid")
            .transport(server.service())
    };
    let gone = plain()
        .logout_endpoint(format!("{}/v1/nothing", server.api_url()))
        .expect("valid");
    for (grant, kind) in [
        (plain(), TokenErrorKind::Config),
        (gone, TokenErrorKind::Refused),
    ] {
        let tokens = TokenCache::new(grant);
        tokens.token().await.expect("a token");
        let error = tokens.revoke().await.expect_err("not ended");
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(tokens.status().generation, None);
        assert_eq!(tokens.token().await.expect("a token").generation(), 2);
    }
}

#[tokio::test]
async fn outside_a_runtime_it_is_an_error() {
    let tokens = TokenCache::new(AccessToken::new("t").expect("valid"));
    let error = std::thread::spawn(move || at_once(tokens.revoke()))
        .join()
        .expect("no panic")
        .expect("at once")
        .expect_err("no runtime");
    assert_eq!(error.kind(), TokenErrorKind::NoRuntime);
}

/// The forms, byte for byte.
#[tokio::test]
async fn each_way_to_end_a_session_sends_its_own_form() {
    let (access, refresh) = (
        AccessToken::new("a+c=").expect("valid"),
        RefreshToken::new("r&f").expect("valid"),
    );
    let log = Log::default();
    let at =
        || PasswordGrant::voipex("me", "pw").transport(endpoint(&log, |_| answer(200, &[], "")));
    let logout = at()
        .logout_endpoint("https://auth.voipex.io/logout")
        .expect("valid");
    let revocation = at()
        .revocation_endpoint("https://auth.voipex.io/revoke")
        .expect("valid");
    logout
        .revoke(Some(&access), Some(&refresh))
        .await
        .expect("ended");
    let error = logout
        .revoke(Some(&access), None)
        .await
        .expect_err("no way");
    assert_eq!(error.kind(), TokenErrorKind::Config);
    revocation
        .revoke(Some(&access), Some(&refresh))
        .await
        .expect("ended");
    revocation.revoke(Some(&access), None).await.expect("ended");
    let received = log.all();
    assert_eq!(
        received
            .iter()
            .map(|it| it.body.as_str())
            .collect::<Vec<_>>(),
        [
            "client_id=api&refresh_token=r%26f",
            "client_id=api&token=r%26f&token_type_hint=refresh_token",
            "client_id=api&token=a%2Bc%3D&token_type_hint=access_token",
        ]
    );
    let paths: Vec<_> = received.iter().map(|it| it.uri.path()).collect();
    assert_eq!(paths, ["/logout", "/revoke", "/revoke"]);
}

/// Some servers answer a token that is posted to their logout by a page that asks
/// whether to log out.
#[tokio::test]
async fn a_page_or_a_refusal_is_no_success_and_errors_name_their_endpoint() {
    const HTML: &[(&str, &str)] = &[("content-type", "text/html; charset=utf-8")];
    let refresh = RefreshToken::new("r3fresh").expect("valid");
    for (status, headers, body, kind) in [
        (200, &[][..], "", None),
        (204, &[], "", None),
        // The type that a framework puts on everything.
        (200, HTML, "", None),
        (200, HTML, " \r\n", None),
        (200, &[], r#"{"error":"invalid_token"}"#, None),
        (200, &[], r#"{"error":"invalid_grant"}"#, None),
        (200, &[], r#"{"error":"","error_description":null}"#, None),
        (200, &[], r#"{"result":"revoked"}"#, None),
        (200, &[], "OK", None),
        (200, HTML, "Really?", Some(TokenErrorKind::InvalidResponse)),
        (
            200,
            &[],
            "\n<!DOCTYPE html><p>Really?",
            Some(TokenErrorKind::InvalidResponse),
        ),
        (
            302,
            &[("location", "/login")],
            "",
            Some(TokenErrorKind::UnexpectedRedirect),
        ),
        // Refusals by servers that answer 200 to everything.
        (
            200,
            &[],
            r#"{"error":"invalid_client"}"#,
            Some(TokenErrorKind::Refused),
        ),
        (
            200,
            &[],
            r#"{"error":"unsupported_token_type"}"#,
            Some(TokenErrorKind::Refused),
        ),
        (
            200,
            &[],
            r#"{"error":"server_error"}"#,
            Some(TokenErrorKind::Unavailable),
        ),
        (
            200,
            &[],
            "\u{feff}<!DOCTYPE html><p>Really?",
            Some(TokenErrorKind::InvalidResponse),
        ),
        (
            400,
            &[],
            r#"{"error":"unsupported_token_type"}"#,
            Some(TokenErrorKind::Refused),
        ),
        (503, HTML, "<p>later", Some(TokenErrorKind::Unavailable)),
    ] {
        for logout in [false, true] {
            let log = Log::default();
            let grant = PasswordGrant::voipex("me", "pw");
            let (grant, name) = match logout {
                true => (
                    grant.logout_endpoint("https://auth.voipex.io/l"),
                    "the logout endpoint at auth.voipex.io",
                ),
                false => (
                    grant.revocation_endpoint("https://auth.voipex.io/r"),
                    "the revocation endpoint at auth.voipex.io",
                ),
            };
            let service = endpoint(&log, move |_| answer(status, headers, body));
            let grant = grant.expect("valid").transport(service);
            let result = grant.revoke(None, Some(&refresh)).await;
            let error = result.err();
            assert_eq!(
                error.as_ref().map(TokenError::kind),
                kind,
                "{status} {body}"
            );
            if let Some(error) = error {
                assert!(error.to_string().contains(name), "{error}");
                assert!(!error.to_string().contains("Really"), "{error}");
                assert_eq!(error.status().map(|it| it.as_u16()), Some(status));
            }
        }
    }
}

#[test]
fn where_a_session_ends_keeps_the_rules_of_an_endpoint() {
    let grant = || PasswordGrant::voipex("me", "pw");
    let plain = "http://auth.example.com/logout";
    let error = grant().logout_endpoint(plain).expect_err("http");
    assert_eq!(error.field(), "logout_endpoint");
    let error = grant().revocation_endpoint(plain).expect_err("http");
    assert_eq!(error.field(), "revocation_endpoint");
}
