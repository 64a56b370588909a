//! Refresh tokens that yield no token, or none that an API accepts.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::transport::Transport;
use tower_bearer::{Outcome, TokenCache, TokenSource};

use crate::common::{Body, get, layer, read, secs};
use crate::endpoint::{Requests, answering, by_grant, panicking};

const DAY: u64 = 24 * 3600;

/// A call each minute for a day: how many failed, and the most in a row.
async fn a_day_of_calls(server: &TokenServer, transport: impl Transport) -> (usize, usize) {
    let tokens = TokenCache::new(server.grant().transport(transport));
    let start = Instant::now();
    let (mut failed, mut in_a_row, mut most) = (0, 0, 0);
    for minute in 0..DAY / 60 {
        tokio::time::sleep_until(start + secs(60 * minute)).await;
        match tokens.token().await {
            Ok(_) => in_a_row = 0,
            Err(_) => {
                failed += 1;
                in_a_row += 1;
                most = most.max(in_a_row);
            }
        }
    }
    (failed, most)
}

fn failures() -> Vec<(&'static str, MockResponse)> {
    let json = |body: &'static str| MockResponse::body(200, "application/json", body);
    vec![
        ("500", MockResponse::status(500)),
        ("503", MockResponse::status(503)),
        ("503 later", MockResponse::status(503).retry_after("120")),
        ("429", MockResponse::status(429)),
        ("408", MockResponse::status(408)),
        ("page", MockResponse::body(200, "text/html", "<html>")),
        ("no token", json(r#"{"code":10003}"#)),
        ("null token", json(r#"{"access_token":null}"#)),
        ("204", MockResponse::status(204)),
        ("302", MockResponse::redirect(302, "/login")),
        ("400", MockResponse::error(400, "invalid_grant")),
        ("400 own", MockResponse::error(400, "EXPIRED")),
        ("401", MockResponse::status(401)),
        ("404", MockResponse::status(404)),
        ("407", MockResponse::status(407)),
        ("hang", MockResponse::hang()),
        ("closed", MockResponse::close()),
        ("stalled", MockResponse::status(200).stall_at(0)),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_in_whatever_way_costs_no_call_while_the_password_works() {
    for (case, answer) in failures() {
        let server = TokenServer::builder().in_process();
        let requests = Requests::default();
        let transport = by_grant(&requests, server.service(), answering(answer));
        let (failed, _) = a_day_of_calls(&server, transport).await;
        let (logins, refreshes) = (requests.logins(), requests.refreshes());
        println!("{case}: {failed} of 1440 failed, {logins} logins, {refreshes} refreshes");
        assert_eq!(failed, 0, "{case}");
        assert!((28..=34).contains(&logins), "{case}: {logins} logins");
        assert!(refreshes > 20, "{case}: {refreshes} refreshes");
    }
    let server = TokenServer::builder().in_process();
    let requests = Requests::default();
    let transport = panicking(&requests, server.service());
    let (failed, _) = a_day_of_calls(&server, transport).await;
    println!("panic: {failed} of 1440 failed");
    assert_eq!(failed, 0);
    assert!(requests.refreshes() > 20);
}

/// Tokens that live for so short a time that none is left at the next call.
#[tokio::test(start_paused = true)]
async fn of_all_refreshes_that_fail_with_no_token_left_the_first_alone_costs_a_call() {
    let in_passing = ["500", "503", "503 later", "429", "hang"];
    let failures = failures().into_iter();
    for (case, answer) in failures.filter(|(case, _)| in_passing.contains(case)) {
        let server = TokenServer::builder()
            .access_token_lifetime(secs(50))
            .in_process();
        let requests = Requests::default();
        let transport = by_grant(&requests, server.service(), answering(answer));
        let (failed, most) = a_day_of_calls(&server, transport).await;
        println!("{case}: {failed} of 1440 failed, {most} in a row");
        // No attempt is made within the time that the endpoint asked for.
        let allowed = if case == "503 later" { 2 } else { 1 };
        assert!(failed <= allowed, "{case}: {failed}");
        assert_eq!(failed, most, "{case}: in the first life only");
    }
}

/// An API that takes the tokens of logins only.
fn takes_logins_only(
    seen: &Arc<Mutex<Vec<String>>>,
    refreshed: &Arc<Mutex<Vec<String>>>,
) -> impl Service<Request<Body>, Response = Response<Empty<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ use<> {
    let (seen, refreshed) = (seen.clone(), refreshed.clone());
    service_fn(move |request: Request<Body>| {
        let token = request.headers()[AUTHORIZATION].to_str().expect("text");
        let bad = refreshed
            .lock()
            .expect("no panic")
            .contains(&token[7..].to_owned());
        seen.lock().expect("no panic").push(token.to_owned());
        async move {
            let mut response = Response::new(Empty::new());
            *response.status_mut() = if bad { 401 } else { 200 }.try_into().expect("a status");
            Ok(response)
        }
    })
}

/// The server's grant, which notes what came by a refresh.
struct Noting<S>(S, Arc<Mutex<Vec<String>>>);

impl<S: TokenSource> TokenSource for Noting<S> {
    async fn fetch(&self) -> Result<tower_bearer::TokenResponse, tower_bearer::TokenError> {
        self.0.fetch().await
    }

    async fn refresh(
        &self,
        refresh_token: &tower_bearer::RefreshToken,
    ) -> Result<tower_bearer::TokenResponse, tower_bearer::TokenError> {
        let response = self.0.refresh(refresh_token).await?;
        let token = response.access_token().secret().to_owned();
        self.1.lock().expect("no panic").push(token);
        Ok(response)
    }
}

#[tokio::test(start_paused = true)]
async fn where_refreshed_tokens_are_rejected_one_login_leads_to_a_200() {
    let (seen, refreshed) = <(Arc<Mutex<Vec<_>>>, Arc<Mutex<Vec<_>>>)>::default();
    let server = TokenServer::builder().in_process();
    let tokens = TokenCache::new(Noting(server.grant(), refreshed.clone()));
    let api = layer(&server, &tokens).layer(takes_logins_only(&seen, &refreshed));
    let call = || async {
        let response = api.clone().oneshot(get("http://localhost/v1/calls")).await;
        read(&response.expect("an answer"))
    };
    assert_eq!(call().await, (200, None));
    for renewal in 1..=20 {
        let logins = server.counts().password_grants;
        sleep(secs(2995)).await;
        assert_eq!(call().await, (200, Some(Outcome::Replayed)), "{renewal}");
        assert_eq!(server.counts().password_grants, logins + 1, "{renewal}");
        assert_eq!(server.counts().refresh_grants, renewal);
        for _ in 0..10 {
            assert_eq!(call().await, (200, None), "{renewal}");
        }
    }
    // 21 lives of a token, 10 calls and one rejection in each.
    assert_eq!(seen.lock().expect("no panic").len(), 1 + 20 * 12);
}

/// The same after a rejection that had nothing to do with it: the token was
/// revoked, the renewal by refresh is rejected too.
#[tokio::test(start_paused = true)]
async fn where_a_forced_refresh_yields_a_rejected_token_the_next_renewal_is_a_login() {
    let (seen, refreshed) = <(Arc<Mutex<Vec<_>>>, Arc<Mutex<Vec<_>>>)>::default();
    let server = TokenServer::builder().in_process();
    let tokens = TokenCache::new(Noting(server.grant(), refreshed.clone()));
    let api = layer(&server, &tokens).layer(takes_logins_only(&seen, &refreshed));
    let call = || async {
        let response = api.clone().oneshot(get("http://localhost/v1/calls")).await;
        read(&response.expect("an answer")).0
    };
    assert_eq!(call().await, 200);
    let first = tokens.token().await.expect("a token");
    refreshed
        .lock()
        .expect("no panic")
        .push(first.secret().to_owned());
    let mut statuses = Vec::new();
    for _ in 0..120 {
        statuses.push(call().await);
        sleep(secs(1)).await;
    }
    let rejected = statuses.iter().filter(|status| **status == 401).count();
    println!("{rejected} of 120 calls got a 401: {:?}", &statuses[..6]);
    assert!(rejected <= 2, "{statuses:?}");
    assert_eq!(server.counts().password_grants, 2);
}
