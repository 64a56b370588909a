//! Rejections: one route's 401 or one origin's behaviour does not affect others.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};

use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{
    AccessToken, BearerAuth, BearerAuthLayer, Origins, Outcome, TokenCache, TokenError,
    TokenErrorKind,
};

use crate::common::{Body, Count, at_once, get, millis, parked, read, secs, send};
use crate::common::{api as served_api, served};

type Answer = Response<Body>;

/// What an API believes of a request: `true` for a good token.
type Judge = Arc<dyn Fn(&Request<Body>) -> bool + Send + Sync>;

fn secret(request: &Request<Body>) -> String {
    let value = request.headers()[AUTHORIZATION].to_str().expect("text");
    value.strip_prefix("Bearer ").expect("a token").to_owned()
}

fn answered(status: u16) -> Answer {
    let mut response = Response::new(Full::from(format!("the API says {status}")));
    *response.status_mut() = status.try_into().expect("a status");
    response
}

/// An API for any host behind the layer.
fn api(
    tokens: &TokenCache,
    judge: Judge,
) -> impl tower::Service<
    Request<Body>,
    Response = Answer,
    Error = tower_bearer::Error<Infallible>,
    Future: Send,
> + Clone
+ use<> {
    let origins = Origins::only(["https://good.test", "https://bad.test"]).expect("origins");
    let service = service_fn(move |request: Request<Body>| {
        let status = if judge(&request) { 200 } else { 401 };
        async move { Ok::<_, Infallible>(answered(status)) }
    });
    let api: BearerAuth<_> = BearerAuthLayer::new(tokens.clone(), origins).layer(service);
    api
}

/// `/bad` rejects once, and `/good` would take the token, for ten minutes of
/// calls, one a second.
async fn good_beside_bad(case: &str, renewals: impl Fn(&TokenServer)) {
    let (server, tokens) = served(TokenServer::builder());
    let rejected = Count::default();
    let once = rejected.clone();
    let judge: Judge = Arc::new(move |request| request.uri().path() != "/bad" || once.up() > 1);
    let api = api(&tokens, judge);
    let call = |path: &str| {
        api.clone()
            .oneshot(get(&format!("https://good.test{path}")))
    };
    assert_eq!(call("/good").await.expect("an answer").status(), 200);
    renewals(&server);
    let bad = parked(call("/bad")).await;
    let bad = tokio::spawn(bad);
    let (start, mut ok) = (Instant::now(), 0);
    for second in 0..600 {
        tokio::time::sleep_until(start + secs(second)).await;
        // No wait at all: answered by the first poll.
        let answer = at_once(call("/good")).expect("a wait").expect("an answer");
        ok += usize::from(answer.status() == 200);
    }
    println!("{case}: {ok} of 600 ok");
    assert_eq!(ok, 600, "{case}");
    let bad = bad.await.expect("no panic").expect("the API's own answer");
    assert!([200, 401].contains(&bad.status().as_u16()));
}

#[tokio::test(start_paused = true)]
async fn one_routes_401_takes_nothing_from_another_route_whatever_the_renewal_does() {
    let refused = MockResponse::error(400, "invalid_grant");
    for (case, answer) in [
        ("away", MockResponse::close()),
        ("503", MockResponse::status(503)),
        ("500", MockResponse::status(500)),
        ("hang", MockResponse::hang()),
        ("refused", refused),
        ("5 s", MockResponse::default().after(secs(5))),
    ] {
        good_beside_bad(case, |server| {
            server.token_endpoint().set_default(answer.clone());
        })
        .await;
    }
}

/// Both origins are called each second; the bad one rejects everything, and the
/// good one's token is revoked at some moment.
#[tokio::test(start_paused = true)]
async fn beside_an_origin_that_always_rejects_a_good_ones_revoked_token_costs_one_fetch() {
    for moment in (0..130).step_by(3) {
        let (fetches, revoked) = (Count::default(), Arc::new(Mutex::new(HashSet::new())));
        let counted = fetches.clone();
        let tokens = TokenCache::new(move || {
            let number = counted.up();
            async move { AccessToken::new(format!("t{number}")).map(|it| it.with_lifetime(secs(3000))) }
        });
        let gone = revoked.clone();
        let judge: Judge = Arc::new(move |request| {
            let gone = gone.lock().expect("no panic").contains(&secret(request));
            request.uri().host() == Some("good.test") && !gone
        });
        let api = api(&tokens, judge);
        let call = |host: &str| api.clone().oneshot(get(&format!("https://{host}/")));
        for second in 0..moment {
            assert_eq!(call("bad.test").await.expect("an answer").status(), 401);
            if second % 2 == 0 {
                assert_eq!(call("good.test").await.expect("an answer").status(), 200);
            }
            sleep(secs(1)).await;
        }
        let token = tokens.token().await.expect("a token");
        revoked
            .lock()
            .expect("no panic")
            .insert(token.secret().to_owned());
        let before = fetches.get();
        let answer = call("good.test").await.expect("an answer");
        assert_eq!(
            read(&answer),
            (200, Some(Outcome::Replayed)),
            "at {moment} s"
        );
        assert_eq!(fetches.get(), before + 1, "at {moment} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_always_rejects_is_no_load_on_the_token_endpoint() {
    let fetches = Count::default();
    let counted = fetches.clone();
    let tokens = TokenCache::new(move || {
        let number = counted.up();
        async move { AccessToken::new(format!("t{number}")) }
    });
    let judge: Judge = Arc::new(|request| request.uri().host() == Some("good.test"));
    let api = api(&tokens, judge);
    for _ in 0..3600 {
        for host in ["bad.test", "good.test"] {
            let answer = api.clone().oneshot(get(&format!("https://{host}/"))).await;
            let expected = if host == "bad.test" { 401 } else { 200 };
            assert_eq!(answer.expect("an answer").status(), expected);
        }
        sleep(secs(1)).await;
    }
    println!("{} fetches in an hour", fetches.get());
    // At most every minute, once the pause has grown, and 12 for unknown lives.
    assert!(fetches.get() <= 80, "{}", fetches.get());
}

#[tokio::test(start_paused = true)]
async fn a_route_that_always_rejects_beside_a_good_one_is_no_load_on_the_token_endpoint() {
    let (server, tokens) = served(TokenServer::builder());
    let judge: Judge = Arc::new(|request| request.uri().path() == "/good");
    let api = api(&tokens, judge);
    for _ in 0..3600 {
        for (path, expected) in [("/bad", 401), ("/good", 200)] {
            let answer = api
                .clone()
                .oneshot(get(&format!("https://good.test{path}")))
                .await;
            assert_eq!(answer.expect("an answer").status(), expected);
        }
        sleep(secs(1)).await;
    }
    let requests = server.token_requests();
    println!("{requests} token requests in an hour");
    assert!(requests <= 80, "{requests}");
}

#[tokio::test(start_paused = true)]
async fn if_the_renewal_fails_the_caller_gets_the_apis_own_401_and_the_reason_beside_it() {
    use TokenErrorKind::{Connect, Refused, Unavailable, UnexpectedRedirect, WaitTimeout};
    for (answer, kind) in [
        (MockResponse::status(500), Unavailable),
        (MockResponse::status(503), Unavailable),
        (MockResponse::close(), Connect),
        (MockResponse::redirect(302, "/login"), UnexpectedRedirect),
        (MockResponse::error(400, "invalid_grant"), Refused),
        (MockResponse::hang(), TokenErrorKind::Timeout),
        (
            MockResponse::default().after(secs(9)).stall_at(3),
            TokenErrorKind::Timeout,
        ),
        (MockResponse::status(503).retry_after("100"), Unavailable),
        (MockResponse::hang(), WaitTimeout),
    ] {
        let server = TokenServer::builder().in_process();
        let wait = if kind == WaitTimeout {
            secs(5)
        } else {
            secs(30)
        };
        let tokens = TokenCache::builder(server.grant()).wait_timeout(wait);
        let tokens = tokens.build().expect("valid");
        let api = served_api(&server, &tokens);
        assert_eq!(read(&send(&api).await.expect("an answer")), (200, None));
        server.token_endpoint().set_default(answer);
        let own = MockResponse::body(401, "text/plain", "the API's own words");
        server.api().enqueue([own]);
        let mut response = send(&api).await.expect("the API's own answer");
        assert_eq!(
            read(&response),
            (401, Some(Outcome::RenewalFailed)),
            "{kind:?}"
        );
        let error = response.extensions().get::<TokenError>().expect("a reason");
        assert_eq!(error.kind(), kind);
        assert_eq!(response.headers()["content-type"], "text/plain");
        let body = response
            .body_mut()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        assert_eq!(body, "the API's own words");
        // And the token, which other routes take, is still there.
        assert_eq!(tokens.token().await.expect("a token").generation(), 1);
    }
}

/// The second request of the caller's own comes with the newer token.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_request_was_not_copied_may_send_it_again_with_a_newer_token() {
    let (server, tokens) = served(TokenServer::builder().delay(secs(5)));
    let layer = crate::common::layer(&server, &tokens);
    let api = layer.replay(tower_bearer::NoReplay).layer(server.service());
    let call = || async {
        let response = api.clone().oneshot(get("http://localhost/v1/calls")).await;
        read(&response.expect("an answer"))
    };
    assert_eq!(call().await, (200, None));
    for _ in 0..5 {
        server.revoke_access_tokens();
        let start = Instant::now();
        assert_eq!(call().await, (401, Some(Outcome::NotCopied)));
        assert!(start.elapsed() >= secs(5) && start.elapsed() < secs(6));
        assert_eq!(call().await, (200, None));
        sleep(millis(1500)).await;
    }
    assert_eq!(server.token_requests(), 6);
}
