//! A request that waits for a token, or gets none, holds no permit of the client
//! below the layer: one limited client can serve the API and the token endpoint.

#![cfg(feature = "testing")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/limited.rs"]
mod limited;

use std::pin::Pin;

use http::{Request, Response};
use tokio::time::{Instant, sleep, timeout};
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::ServiceList;
use tower::limit::ConcurrencyLimit;
use tower::load::Constant;
use tower::{Layer, Service, ServiceExt};

use common::{Body, Count, get, millis, secs};
use limited::{API, api, join_all, origins, tokens};
use tower_bearer::testing::{TokenServer, TokenService};
use tower_bearer::{
    AccessToken, BearerAuth, BearerAuthLayer, TokenCache, TokenError, TokenErrorKind,
};

/// A client that is the transport to the token endpoint too.
fn one_client_for_both(limit: usize) -> (TokenServer, BearerAuth<ConcurrencyLimit<TokenService>>) {
    let server = TokenServer::builder().delay(millis(100)).in_process();
    let client = ConcurrencyLimit::new(server.service(), limit);
    let tokens = TokenCache::new(server.grant().transport(client.clone()));
    let client = BearerAuthLayer::new(tokens, origins()).layer(client);
    (server, client)
}

#[tokio::test(start_paused = true)]
async fn a_limited_client_serves_the_api_and_the_token_endpoint() {
    for (limit, calls) in [(2, 2), (4, 16), (1, 1), (1, 16)] {
        let (server, client) = one_client_for_both(limit);
        // Cold, warm, and healed after a 401.
        for healed in [false, false, true] {
            if healed {
                server.revoke_access_tokens();
            }
            let calls = (0..calls).map(|_| client.clone().oneshot(get(API)));
            let answers = timeout(secs(5), join_all(calls)).await;
            for answer in answers.expect("no call hangs") {
                assert_eq!(answer.expect("an answer").status(), 200, "{limit}");
            }
        }
        assert_eq!(server.token_requests(), 2, "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_with_a_task_for_each_call_and_one_service_for_all() {
    for (limit, calls) in [(2, 2), (4, 16), (1, 1), (1, 16)] {
        let (server, mut client) = one_client_for_both(limit);
        for healed in [false, false, true] {
            if healed {
                server.revoke_access_tokens();
            }
            let mut tasks = Vec::new();
            for _ in 0..calls {
                let ready = ServiceExt::<Request<Body>>::ready(&mut client);
                let ready = timeout(secs(5), ready).await.expect("a permit");
                tasks.push(tokio::spawn(ready.expect("ready").call(get(API))));
            }
            for task in tasks {
                let answer = timeout(secs(5), task).await.expect("no call hangs");
                let answer = answer.expect("no panic").expect("an answer");
                assert_eq!(answer.status(), 200, "{limit}");
            }
        }
    }
}

fn refused() -> TokenCache {
    TokenCache::new(|| async {
        Err::<AccessToken, _>(TokenError::new(TokenErrorKind::Refused, "refused"))
    })
}

#[tokio::test(start_paused = true)]
async fn services_whose_account_is_refused_keep_no_permit_from_another_account() {
    let client = ConcurrencyLimit::new(api(&Count::default()), 2);
    let layer = |tokens: TokenCache| BearerAuthLayer::new(tokens, origins());
    let refused = layer(refused()).layer(client.clone());
    let live = tokens();
    live.warm_up().await.expect("a token");
    let live = layer(live).layer(client);
    let mut workers = vec![refused.clone(), refused];
    for _ in 0..3 {
        for worker in &mut workers {
            let ready = timeout(secs(1), worker.ready()).await.expect("a permit");
            let call = ready.expect("ready").call(get(API));
            assert!(call.await.is_err());
        }
        // The workers are kept, and nothing is called meanwhile.
        let start = Instant::now();
        let answer = timeout(secs(60), live.clone().oneshot(get(API))).await;
        assert_eq!(answer.expect("a permit").expect("an answer").status(), 200);
        assert_eq!(start.elapsed(), millis(10), "at once");
    }
}

#[tokio::test(start_paused = true)]
async fn through_a_buffer_above_or_below_the_same() {
    let client = ConcurrencyLimit::new(api(&Count::default()), 2);
    let layer = |tokens: TokenCache| BearerAuthLayer::new(tokens, origins());
    let live = tokens();
    live.warm_up().await.expect("a token");
    // A buffer of two places below, which the services reserve.
    let below = Buffer::new(client.clone(), 2);
    let mut workers = vec![layer(refused()).layer(below.clone()); 2];
    for worker in &mut workers {
        let call = worker.ready().await.expect("ready").call(get(API));
        assert!(call.await.is_err());
    }
    let live_below = layer(live.clone()).layer(below);
    let answer = timeout(secs(60), live_below.oneshot(get(API))).await;
    assert_eq!(answer.expect("a place").expect("an answer").status(), 200);
    drop(workers);
    // Buffers above, whose workers keep the services.
    let above: Vec<_> = (0..2)
        .map(|_| Buffer::new(layer(refused()).layer(client.clone()), 2))
        .collect();
    for buffer in &above {
        assert!(buffer.clone().oneshot(get(API)).await.is_err());
    }
    let live_above = Buffer::new(layer(live).layer(client), 2);
    let start = Instant::now();
    let answer = timeout(secs(60), live_above.oneshot(get(API))).await;
    assert_eq!(answer.expect("a permit").expect("an answer").status(), 200);
    assert_eq!(start.elapsed(), millis(10), "at once");
}

#[cfg(feature = "accounts")]
#[tokio::test(start_paused = true)]
async fn of_many_accounts_one_that_is_refused_keeps_no_permit_from_another() {
    use tower_bearer::{Accounts, AccountsLayer};

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Tenant(&'static str);

    let to = |tenant: &'static str| {
        let mut request = get(API);
        request.extensions_mut().insert(Tenant(tenant));
        request
    };
    let accounts = Accounts::new(|tenant: Tenant| async move {
        match tenant.0 {
            "live" => AccessToken::new("t1"),
            _ => Err(TokenError::new(TokenErrorKind::Refused, "refused")),
        }
    });
    let client = ConcurrencyLimit::new(api(&Count::default()), 2);
    let client = AccountsLayer::new(accounts, origins()).layer(client);
    let answer = client.clone().oneshot(to("live")).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let mut workers = vec![client.clone(), client.clone()];
    for _ in 0..3 {
        for worker in &mut workers {
            let ready = timeout(secs(1), worker.ready()).await.expect("a permit");
            assert!(ready.expect("ready").call(to("refused")).await.is_err());
        }
        let answer = timeout(secs(60), client.clone().oneshot(to("live"))).await;
        assert_eq!(answer.expect("a permit").expect("an answer").status(), 200);
    }
    drop(workers);
    let buffered = Buffer::new(client, 2);
    for _ in 0..4 {
        assert!(buffered.clone().oneshot(to("refused")).await.is_err());
        let answer = timeout(secs(60), buffered.clone().oneshot(to("live"))).await;
        assert_eq!(answer.expect("a permit").expect("an answer").status(), 200);
    }
}

type Answer = Result<Response<Body>, tower_bearer::BoxError>;

/// Makes this many calls through a balancer over this many endpoints of limit 1,
/// with a layer on each.
async fn balanced(endpoints: usize, calls: usize, meet_a_401: bool) -> Vec<Answer> {
    let (tokens, revoked) = (tokens(), Count::default());
    if meet_a_401 {
        tokens.warm_up().await.expect("a token");
        revoked.up();
    }
    let services: Vec<_> = (0..endpoints)
        .map(|_| {
            let client = ConcurrencyLimit::new(api(&revoked), 1);
            let client = BearerAuthLayer::new(tokens.clone(), origins()).layer(client);
            Constant::new(client, 1)
        })
        .collect();
    let mut balance = Balance::new(ServiceList::new::<Request<Body>>(services));
    let mut tasks = Vec::new();
    for _ in 0..calls {
        let ready = timeout(secs(25), balance.ready()).await.expect("readiness");
        tasks.push(tokio::spawn(ready.expect("ready").call(get(API))));
    }
    let mut answers = Vec::new();
    for task in tasks {
        // The balancer is kept, with what it keeps ready.
        let answer = timeout(secs(25), task).await;
        answers.push(answer.expect("an answer in time").expect("no panic"));
    }
    drop(balance);
    answers
}

#[tokio::test(start_paused = true)]
async fn behind_a_balancer_all_calls_that_meet_a_401_or_a_cold_start_are_answered() {
    for meet_a_401 in [true, false] {
        for endpoints in 1..=3 {
            for calls in 1..=8 {
                let case = format!("{endpoints} endpoints, {calls} calls, {meet_a_401}");
                println!("{case}");
                for answer in balanced(endpoints, calls, meet_a_401).await {
                    assert_eq!(answer.expect(&case).status(), 200, "{case}");
                }
            }
        }
    }
}

/// A place in the queue that is lost with its caller does not cost others theirs.
#[tokio::test(start_paused = true)]
async fn callers_who_leave_while_they_wait_keep_no_permit() {
    let (server, client) = one_client_for_both(1);
    server.set_delay(secs(2));
    let left: Vec<_> = (0..8)
        .map(|_| tokio::spawn(client.clone().oneshot(get(API))))
        .collect();
    sleep(secs(1)).await;
    left.iter().for_each(tokio::task::JoinHandle::abort);
    let answer: Pin<Box<_>> = Box::pin(timeout(secs(5), client.oneshot(get(API))));
    assert_eq!(
        answer.await.expect("no hang").expect("an answer").status(),
        200
    );
}
