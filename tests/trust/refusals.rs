//! Credentials that were answered without a token: how often they are sent.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{AccessToken, TokenCache, TokenError, TokenErrorKind};

use crate::common::{Count, millis, secs};
use crate::endpoint::{Requests, watched};

const HOUR: Duration = secs(3600);
const DAY: Duration = secs(24 * 3600);

fn json(body: &'static str) -> MockResponse {
    MockResponse::body(200, "application/json", body)
}

/// One caller a second.
async fn call_for(tokens: &TokenCache, time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(tokens.token().await.is_err());
        sleep(secs(1)).await;
    }
}

/// How many requests an hour of calls leads to.
async fn in_an_hour(answer: MockResponse) -> Requests {
    let (server, requests) = (TokenServer::builder().in_process(), Requests::default());
    server.token_endpoint().set_default(answer);
    let grant = server.grant_for("in_an_hour", "wrong");
    let tokens = TokenCache::new(grant.transport(watched(&requests, &server)));
    call_for(&tokens, HOUR).await;
    requests
}

#[tokio::test(start_paused = true)]
async fn a_password_refused_in_whatever_words_is_sent_three_times_an_hour_at_the_most() {
    let html = "<html><body><form>log in</form></body></html>";
    for (case, answer) in [
        ("own code", json(r#"{"code":10003}"#)),
        (
            "error object",
            json(r#"{"error":{"code":1,"message":"no"}}"#),
        ),
        ("error number", json(r#"{"error":401}"#)),
        ("error null", json(r#"{"error":null}"#)),
        ("null token", json(r#"{"access_token":null}"#)),
        (
            "empty token",
            json(r#"{"access_token":"","token_type":"Bearer"}"#),
        ),
        (
            "token number",
            json(r#"{"access_token":7,"token_type":"Bearer"}"#),
        ),
        ("array", json("[]")),
        ("null", json("null")),
        ("not JSON", json("{")),
        ("nothing", MockResponse::status(200)),
        ("page", MockResponse::body(200, "text/html", html)),
        ("204", MockResponse::status(204)),
        ("301", MockResponse::redirect(301, "/login")),
        ("302", MockResponse::redirect(302, "/login")),
        ("303", MockResponse::redirect(303, "/login")),
        (
            "307 elsewhere",
            MockResponse::redirect(307, "http://localhost:1/login"),
        ),
        ("304", MockResponse::status(304)),
        ("400", MockResponse::error(400, "invalid_grant")),
        ("400 own", MockResponse::error(400, "LOGIN_FAILED")),
        ("401", MockResponse::status(401)),
        ("403", MockResponse::body(403, "text/html", html)),
        ("404", MockResponse::status(404)),
        ("418", MockResponse::status(418)),
        ("499", MockResponse::status(499)),
        ("invalid scope", MockResponse::error(400, "invalid_scope")),
        (
            "other type",
            MockResponse::default().param("token_type", "\"mac\""),
        ),
    ] {
        let requests = in_an_hour(answer).await.all();
        println!("{case}: {requests} in an hour");
        assert!((2..=3).contains(&requests), "{case}: {requests}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_answered_by_500_or_429_is_sent_eighteen_times_an_hour_never_within_five_seconds()
 {
    let page = MockResponse::body(500, "text/html", "<h1>wrong password</h1>");
    for (case, answer) in [
        ("500", MockResponse::status(500)),
        ("500 page", page),
        ("501", MockResponse::status(501)),
        ("502", MockResponse::status(502)),
        ("503", MockResponse::status(503)),
        ("503 and now", MockResponse::status(503).retry_after("0")),
        ("504", MockResponse::status(504)),
        ("520", MockResponse::status(520)),
        ("429", MockResponse::status(429)),
        ("429 and now", MockResponse::status(429).retry_after("1")),
        ("500 error", MockResponse::error(500, "server_error")),
    ] {
        let requests = in_an_hour(answer).await;
        let (count, pause) = (requests.all(), requests.shortest_pause().expect("two"));
        println!("{case}: {count} in an hour, {pause:?} between two");
        assert!((10..=18).contains(&count), "{case}: {count}");
        assert!(pause >= secs(5), "{case}: {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_sent_five_times_in_twelve_hours_at_the_most() {
    for ready_alone in [false, true] {
        let server = TokenServer::builder().in_process();
        let tokens = TokenCache::new(server.grant_for(server.username(), "wrong"));
        let start = Instant::now();
        while start.elapsed() < 12 * HOUR {
            if ready_alone {
                assert!(tokens.ready().is_err());
            } else {
                assert!(tokens.token().await.is_err());
            }
            sleep(secs(1)).await;
        }
        let requests = server.token_requests();
        println!("{requests} in twelve hours");
        assert!((4..=5).contains(&requests), "{requests}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_readiness_probe_alone_sends_a_wrong_password_seven_times_a_day_at_the_most() {
    let server = TokenServer::builder().in_process();
    let tokens = TokenCache::new(server.grant_for(server.username(), "wrong"));
    tokens.keep_warm();
    let start = Instant::now();
    while start.elapsed() < DAY {
        assert!(tokens.ready().is_err());
        sleep(secs(1)).await;
    }
    let requests = server.token_requests();
    println!("{requests} in a day");
    assert!((5..=7).contains(&requests), "{requests}");
}

/// Each server has its own credentials, so that nothing is shared.
#[tokio::test(start_paused = true)]
async fn ten_processes_send_a_wrong_password_thirty_times_in_ten_minutes_and_fifty_in_twelve_hours()
{
    let processes: Vec<_> = (0..10)
        .map(|_| {
            let server = TokenServer::builder().in_process();
            let tokens = TokenCache::new(server.grant_for(server.username(), "wrong"));
            (server, tokens)
        })
        .collect();
    let sum = || -> u64 { processes.iter().map(|(it, _)| it.token_requests()).sum() };
    let start = Instant::now();
    let mut in_ten_minutes = 0;
    while start.elapsed() < 12 * HOUR {
        for (_, tokens) in &processes {
            assert!(tokens.token().await.is_err());
        }
        if start.elapsed() <= secs(600) {
            in_ten_minutes = sum();
        }
        sleep(secs(1)).await;
    }
    println!("{in_ten_minutes} in ten minutes, {} in twelve hours", sum());
    assert!(in_ten_minutes < 30, "{in_ten_minutes}");
    assert!(sum() <= 50, "{}", sum());
}

/// Transient failures in between do not reset the count of refusals.
#[tokio::test(start_paused = true)]
async fn refusals_between_failures_that_pass_count_as_if_those_had_not_been() {
    let (server, requests) = (TokenServer::builder().in_process(), Requests::default());
    let refused = Count::default();
    server.token_endpoint().set_default(MockResponse::close());
    let grant = server.grant_for("in_between", "wrong");
    let tokens = TokenCache::new(grant.transport(watched(&requests, &server)));
    let start = Instant::now();
    while start.elapsed() < 12 * HOUR {
        // Each failure that passes is followed by a refusal.
        let before = requests.all();
        let error = tokens.token().await.expect_err("none");
        if requests.all() > before {
            if error.kind() == TokenErrorKind::Refused {
                refused.up();
                server.token_endpoint().set_default(MockResponse::close());
            } else {
                server
                    .token_endpoint()
                    .set_default(MockResponse::status(401));
            }
        }
        sleep(millis(500)).await;
    }
    println!("{} refusals in twelve hours", refused.get());
    assert!((4..=5).contains(&refused.get()), "{}", refused.get());
}

/// A source of the user's own is held to the same.
#[tokio::test(start_paused = true)]
async fn a_closure_that_says_refused_is_called_five_times_in_twelve_hours_at_the_most() {
    let calls = Count::default();
    let counted = calls.clone();
    let tokens = TokenCache::new(move || {
        counted.up();
        async { Err::<AccessToken, _>(TokenError::new(TokenErrorKind::Refused, "no")) }
    });
    call_for(&tokens, 12 * HOUR).await;
    assert!((4..=5).contains(&calls.get()), "{}", calls.get());
}
