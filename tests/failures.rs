//! Failures of the token endpoint: transient ones are retried with a growing pause,
//! refusals stick, and callers know for how long. A person's account can be locked,
//! so its credentials are sent less often than a client's.

#![cfg(feature = "testing")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use tokio::time::{Instant, sleep};

use common::{api, at_once, call, millis, secs, send, served, token};
use tower_bearer::grant::ClientCredentialsGrant;
use tower_bearer::testing::{MockResponse, TokenServer, TokenService};
use tower_bearer::{TokenCache, TokenError, TokenErrorKind};

fn server() -> (TokenServer, TokenCache) {
    served(TokenServer::builder())
}

/// The same for a client's own tokens: no person can be locked out.
fn client_server() -> (TokenServer, TokenCache) {
    static CLIENTS: AtomicU32 = AtomicU32::new(0);
    // All servers have the same URL, and so would the memory of failures.
    let id = format!("client-{}", CLIENTS.fetch_add(1, Ordering::SeqCst));
    let builder = TokenServer::builder().client_id(&id);
    let server = builder.client_secret("secret").in_process();
    let tokens = TokenCache::new(client(&server, "secret"));
    (server, tokens)
}

fn client(server: &TokenServer, secret: &str) -> ClientCredentialsGrant<TokenService> {
    ClientCredentialsGrant::new(server.token_url(), server.client_id())
        .expect("a grant")
        .client_secret(secret)
        .transport(server.service())
}

/// A pause that is longer than its least by up to a quarter at random.
#[track_caller]
fn assert_pause(pause: Option<Duration>, least: Duration, case: &str) -> Duration {
    let pause = pause.expect("a pause");
    assert!(
        (least..=least * 5 / 4).contains(&pause),
        "{case}: {pause:?}"
    );
    pause
}

fn status(status: u16) -> MockResponse {
    MockResponse::status(StatusCode::from_u16(status).expect("a status"))
}

fn refusal(status: u16, code: &str) -> MockResponse {
    MockResponse::error(StatusCode::from_u16(status).expect("a status"), code)
}

async fn failure(tokens: &TokenCache) -> TokenError {
    tokens.token().await.expect_err("no token")
}

#[tokio::test(start_paused = true)]
async fn what_passes_by_itself_is_transient_and_over_after_its_pause() {
    use TokenErrorKind::*;
    // The pauses if the password was answered, and if it was not.
    let answered = |n: u32| (secs(5) * n, secs(25) * n / 4);
    let unanswered = |n: u32| (Duration::ZERO, millis(250) * n);
    // How many attempts there are before the caller is told.
    for (answer, kind, attempts, (least, most)) in [
        (status(408), Unavailable, 1, unanswered(1)),
        (status(425), Unavailable, 1, unanswered(1)),
        (status(429), Unavailable, 1, answered(1)),
        (status(500), Unavailable, 1, answered(1)),
        (status(502), Unavailable, 2, answered(2)),
        (status(503), Unavailable, 2, answered(2)),
        (status(504), Unavailable, 2, answered(2)),
        (
            refusal(400, "temporarily_unavailable"),
            Unavailable,
            1,
            answered(1),
        ),
        (refusal(429, "invalid_grant"), Unavailable, 1, answered(1)),
        (refusal(503, "invalid_grant"), Unavailable, 2, answered(2)),
        (MockResponse::close(), Connect, 2, unanswered(2)),
        (
            MockResponse::default().close_at(10),
            Connect,
            2,
            unanswered(2),
        ),
        (MockResponse::hang(), Timeout, 1, unanswered(1)),
        (
            MockResponse::default().stall_at(10),
            Timeout,
            1,
            unanswered(1),
        ),
    ] {
        let (server, tokens) = server();
        let case = format!("{answer:?}");
        let answers = std::iter::repeat_n(answer, attempts);
        server.token_endpoint().enqueue(answers);
        let error = failure(&tokens).await;
        assert_eq!(error.kind(), kind, "{case}");
        assert!(error.is_transient(), "{case}");
        let pause = error.retry_after().expect("a pause");
        assert!((least..=most).contains(&pause), "{case}: {pause:?}");
        sleep(pause + millis(1)).await;
        assert_eq!(tokens.token().await.expect(&case).generation(), 1);
        assert_eq!(server.token_requests(), attempts as u64 + 1, "{case}");
        assert!(tokens.status().last_error.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_in_passing_is_tried_once_more_before_anybody_is_told() {
    for answer in [
        MockResponse::close(),
        status(502),
        status(503),
        status(504),
        status(503).retry_after("20"),
    ] {
        let (server, tokens) = server();
        let case = format!("{answer:?}");
        server.token_endpoint().enqueue([answer]);
        let start = Instant::now();
        assert_eq!(tokens.token().await.expect(&case).generation(), 1);
        assert!(start.elapsed() < secs(30), "{case}: {:?}", start.elapsed());
        assert_eq!(server.token_requests(), 2, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn during_backoff_callers_fail_at_once_from_memory_and_learn_what_is_left() {
    let (server, tokens) = server();
    server
        .token_endpoint()
        .enqueue([status(503).retry_after("100")]);
    assert_eq!(failure(&tokens).await.retry_after(), Some(secs(100)));
    for left in [100, 60, 20] {
        let memory = at_once(tokens.token()).expect("no wait").expect_err("none");
        assert_eq!(memory.kind(), TokenErrorKind::Unavailable);
        assert_eq!(memory.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(memory.retry_after(), Some(secs(left)));
        assert_eq!(tokens.status().fetch_backoff, Some(secs(left)));
        sleep(secs(40)).await;
    }
    assert!(tokens.token().await.is_ok());
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_respected_in_both_forms_and_nonsense_is_no_wait() {
    let ahead = |seconds| httpdate::fmt_http_date(SystemTime::now() + secs(seconds));
    let day = secs(24 * 3600);
    let date = |time| httpdate::fmt_http_date(time);
    for (text, least, most) in [
        ("120".to_owned(), 120, 120),
        ("301".to_owned(), 300, 300),
        ("99999999999999999999999999".to_owned(), 300, 300),
        (ahead(90), 85, 90),
        ("Fri, 01 Jan 2100 00:00:00 GMT".to_owned(), 300, 300),
        // The server's clock is a day ahead, or behind.
        (date(SystemTime::now() + day + secs(30)), 300, 300),
        (date(SystemTime::now() - day + secs(30)), 0, 1),
        ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 0, 1),
        ("-120".to_owned(), 0, 1),
        ("0".to_owned(), 0, 1),
        ("".to_owned(), 0, 1),
        ("in a moment".to_owned(), 0, 1),
    ] {
        let (server, tokens) = client_server();
        server
            .token_endpoint()
            .enqueue([status(429).retry_after(&text)]);
        let pause = failure(&tokens).await.retry_after().expect("a pause");
        assert!(
            (secs(least)..=secs(most)).contains(&pause),
            "{text}: {pause:?}"
        );
        sleep(secs(most) + millis(1)).await;
        assert!(tokens.token().await.is_ok(), "{text}");
        assert_eq!(server.token_requests(), 2, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_stays_down_sees_a_client_each_half_minute_at_the_most() {
    let (server, tokens) = client_server();
    server.token_endpoint().set_default(status(503));
    let start = Instant::now();
    while start.elapsed() < secs(3600) {
        assert!(tokens.token().await.is_err());
        sleep(millis(50)).await;
    }
    // Full jitter: 15 s between two on average.
    let requests = server.token_requests();
    assert!((150..400).contains(&requests), "{requests}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_answers_a_password_by_5xx_sees_it_18_times_in_an_hour() {
    for code in [500, 503, 429] {
        let (server, tokens) = server();
        server.token_endpoint().set_default(status(code));
        let (start, mut seen, mut last) = (Instant::now(), 0, None);
        while start.elapsed() < secs(3600) {
            assert!(tokens.token().await.is_err());
            let (requests, now) = (server.token_requests(), start.elapsed());
            if requests > seen {
                let since = last.map(|last| now - last);
                assert!(since.is_none_or(|since| since >= secs(5)), "{since:?}");
                (seen, last) = (requests, Some(now));
            }
            sleep(millis(50)).await;
        }
        // 5 s doubling to 5 min, each up to a quarter longer.
        assert!((14..=18).contains(&seen), "{code}: {seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_tried_once_and_then_answered_from_memory() {
    for (answer, code) in [
        (refusal(401, "invalid_grant"), Some("invalid_grant")),
        (refusal(400, "invalid_grant"), Some("invalid_grant")),
        (refusal(401, "invalid_client"), Some("invalid_client")),
        (
            refusal(401, "unauthorized_client"),
            Some("unauthorized_client"),
        ),
        (status(400), None),
        (status(401), None),
        (status(403), None),
        (status(404), None),
        (
            MockResponse::body(StatusCode::UNAUTHORIZED, "text/html", "<p>no"),
            None,
        ),
    ] {
        let (server, tokens) = server();
        let case = format!("{answer:?} {code:?}");
        server.token_endpoint().set_default(answer);
        let mut pause = None;
        for _ in 0..1000 {
            let error = failure(&tokens).await;
            assert_eq!(error.kind(), TokenErrorKind::Refused, "{case}");
            assert_eq!(error.oauth_error(), code, "{case}");
            assert!(!error.is_transient());
            let left = assert_pause(error.retry_after(), secs(60), &case);
            assert_eq!(*pause.get_or_insert(left), left, "{case}");
        }
        assert_eq!(server.token_requests(), 1, "{case}");
    }
}

/// Attempts at 0, 1 and 11 minutes, if not somewhat later: what pauses of 1 min,
/// 10 min and an hour imply for an hour.
const ATTEMPTS_IN_AN_HOUR: u64 = 3;

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_with_a_wrong_password_make_three_attempts_in_an_hour() {
    let (server, tokens) = server();
    let api = api(&server, &tokens);
    server.set_password("me", "changed");
    let callers: Vec<_> = (0..1000)
        .map(|n| {
            let (tokens, api) = (tokens.clone(), api.clone());
            tokio::spawn(async move {
                let start = Instant::now();
                sleep(millis(n)).await;
                while start.elapsed() < secs(3599) {
                    let error = if n % 2 == 0 {
                        failure(&tokens).await
                    } else {
                        let error = send(&api).await.expect_err("no token");
                        TokenError::find(&error).expect("the token's error").clone()
                    };
                    assert_eq!(error.kind(), TokenErrorKind::Refused);
                    sleep(secs(10)).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    let counts = server.counts();
    assert_eq!(counts.token_requests, ATTEMPTS_IN_AN_HOUR);
    assert_eq!(
        (counts.refused, counts.api_requests),
        (ATTEMPTS_IN_AN_HOUR, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_wait_longer_each_time_also_when_the_endpoint_is_down_in_between() {
    let (server, tokens) = server();
    let hour = 3600;
    for pause in [60, 600, hour, 6 * hour, 6 * hour] {
        server
            .token_endpoint()
            .enqueue([refusal(400, "invalid_grant"), status(503), status(503)]);
        let error = failure(&tokens).await;
        assert_eq!(error.kind(), TokenErrorKind::Refused);
        let pause = assert_pause(error.retry_after(), secs(pause), "refused");
        sleep(pause - millis(1)).await;
        assert_eq!(failure(&tokens).await.kind(), TokenErrorKind::Refused);
        sleep(millis(1)).await;
        let error = failure(&tokens).await;
        assert_eq!(error.kind(), TokenErrorKind::Unavailable);
        sleep(assert_pause(error.retry_after(), secs(10), "down")).await;
    }
    assert_eq!(server.token_requests(), 15);
    // A success clears it.
    assert!(tokens.token().await.is_ok());
    tokens.invalidate();
    server
        .token_endpoint()
        .enqueue([refusal(400, "invalid_grant"), refusal(400, "invalid_grant")]);
    assert_pause(failure(&tokens).await.retry_after(), secs(60), "cleared");
}

#[tokio::test(start_paused = true)]
async fn reset_clears_a_refusal_once_somebody_has_put_it_right() {
    let (server, tokens) = server();
    server.set_password("me", "changed");
    assert_eq!(failure(&tokens).await.kind(), TokenErrorKind::Refused);
    server.set_password("me", "pw");
    assert_eq!(failure(&tokens).await.kind(), TokenErrorKind::Refused);
    tokens.reset();
    assert!(tokens.status().last_error.is_none());
    assert_eq!(call(&api(&server, &tokens)).await, (200, None));
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_held_back_and_then_tried_again() {
    for answer in [
        MockResponse::body(StatusCode::OK, "text/html", "<p>hello"),
        MockResponse::default().without("access_token"),
        MockResponse::default().param("token_type", "\"mac\""),
        MockResponse::default().param("access_token", "\"a\\nb\""),
        MockResponse::body(StatusCode::OK, "application/json", vec![b' '; 70_000]),
    ] {
        let (server, tokens) = server();
        let case = format!("{answer:?}");
        server.token_endpoint().set_default(answer);
        let start = Instant::now();
        while start.elapsed() < secs(600) {
            assert_eq!(
                failure(&tokens).await.kind(),
                TokenErrorKind::InvalidResponse
            );
            sleep(millis(100)).await;
        }
        // The password was answered, in whatever words.
        assert_eq!(server.token_requests(), 2, "{case}");
        server.clear_responses();
        sleep(failure(&tokens).await.retry_after().expect("a pause")).await;
        assert!(tokens.token().await.is_ok(), "{case}");
    }
}

/// A login that succeeded is not thrown away for a member that no token needs.
#[tokio::test(start_paused = true)]
async fn an_odd_answer_with_a_token_costs_one_login() {
    let odd = MockResponse::default;
    for answer in [
        odd().param("expires_in", "\"3599\""),
        odd().param("expires_in", "3600.0"),
        odd().param("expires_in", "3.6e3"),
        odd().param("expires_in", "35999.7"),
        odd().param("expires_in", "-1"),
        odd().param("expires_in", "\"\""),
        odd().param("expires_in", "0"),
        odd().param("expires_in", "null"),
        odd().param("expires_in", "1000000000000000000000000000000"),
        odd().param("expires_in", "60,\"expires_in\":3600"),
        odd()
            .param("access_token", "\"v^1.1#a|b!c\"")
            .param("expires_in", "0"),
        odd().without("token_type"),
        odd().param("token_type", "\"\""),
        odd().param("scope", "[\"a\"]"),
        odd().param("issued_token_type", "17"),
    ] {
        let (server, tokens) = server();
        let case = format!("{answer:?}");
        server.token_endpoint().set_default(answer);
        for _ in 0..120 {
            assert!(tokens.token().await.is_ok(), "{case}");
            sleep(secs(1)).await;
        }
        assert_eq!(server.token_requests(), 1, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_pause_can_be_set() {
    let (server, _) = server();
    let tokens = TokenCache::builder(server.grant())
        .refusal_backoff(secs(5), secs(7))
        .deferred_backoff(secs(40), secs(50))
        .max_retry_after(secs(3600))
        .build()
        .expect("settings");
    server
        .token_endpoint()
        .enqueue([status(503).retry_after("1800")]);
    assert_eq!(failure(&tokens).await.retry_after(), Some(secs(1800)));
    tokens.reset();
    for pause in [5, 7, 7] {
        server
            .token_endpoint()
            .enqueue([refusal(400, "invalid_grant")]);
        let left = failure(&tokens).await.retry_after();
        sleep(assert_pause(left, secs(pause), "refused")).await;
    }
    tokens.reset();
    for pause in [40, 50, 50] {
        server.token_endpoint().enqueue([status(503)]);
        let left = failure(&tokens).await.retry_after();
        sleep(assert_pause(left, secs(pause), "down")).await;
    }
    // The pause for clients, and for unanswered requests.
    let (server, _) = client_server();
    let tokens = TokenCache::builder(client(&server, "wrong"))
        .client_refusal_backoff(secs(2), secs(3))
        .backoff(millis(1), millis(2))
        .build()
        .expect("settings");
    for pause in [2, 3, 3] {
        let left = failure(&tokens).await.retry_after();
        sleep(assert_pause(left, secs(pause), "a client")).await;
    }
    server.token_endpoint().enqueue([status(408)]);
    assert!(failure(&tokens).await.retry_after() <= Some(millis(2)));
}

#[tokio::test(start_paused = true)]
async fn one_failure_poisons_nothing() {
    let tokens = TokenCache::new(|| async {
        static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        match CALLS.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Err(tower_bearer::BoxError::from("the vault is sealed")),
            _ => Ok(token("late", 3000)?),
        }
    });
    let error = failure(&tokens).await;
    assert_eq!(error.kind(), TokenErrorKind::Source);
    assert!(error.is_transient());
    sleep(millis(250)).await;
    assert_eq!(tokens.token().await.expect("a token").secret(), "late");
}
