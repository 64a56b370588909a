//! Faults that a fleet meets under load.

use std::time::Duration;

use tokio::time::sleep;
use tower_bearer::testing::{Counts, TokenServer};

use crate::fleet::{Fleet, LEASE, SIZE, nothing_failed, secs, setup, token_server};
use crate::member::Report;
use crate::proxy::Proxy;
use crate::server::Server;

/// Starts a fleet, which has its first token then.
async fn start_fleet(server: &TokenServer, redis: String, span: Duration) -> Fleet {
    let mut fleet = Fleet::start(vec![setup(server, redis, span); SIZE]).await;
    fleet.holder().await;
    while server.counts().password_grants == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(secs(1)).await;
    assert_eq!(server.counts().token_requests, 1, "one for all of them");
    fleet
}

/// Each renewal was one token request, of one process.
fn one_request_each(report: &Report, counts: &Counts) {
    assert_eq!(report.tokens.len() as u64, counts.token_requests);
    assert_eq!(counts.max_concurrent_token_requests, 1);
    assert_eq!((report.alone, counts.password_grants), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_whose_clocks_differ_by_minutes_fetches_as_one() {
    let (redis, server) = (Server::start().await, token_server().await);
    let setups = (0..SIZE).map(|n| {
        let mut setup = setup(&server, redis.url(), secs(16));
        setup.ahead = [0, 60, -60][n % 3];
        setup
    });
    let report = Fleet::start(setups).await.report().await;
    let counts = server.counts();
    nothing_failed("clocks a minute apart", &report, &counts);
    one_request_each(&report, &counts);
    assert!(report.tokens.len() <= 4, "renewed too often");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_is_killed_is_followed_by_another() {
    let (redis, server) = (Server::start().await, token_server().await);
    let mut fleet = start_fleet(&server, redis.url(), secs(20)).await;
    fleet.holder().await.kill();
    let report = fleet.report().await;
    let counts = server.counts();
    nothing_failed("holder killed in mid-fetch", &report, &counts);
    assert_eq!(
        counts.password_grants, 2,
        "its refresh token was used again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_stands_still_past_its_lease_does_no_harm() {
    let (redis, server) = (Server::start().await, token_server().await);
    let mut fleet = start_fleet(&server, redis.url(), secs(20)).await;
    let holder = fleet.holder().await;
    holder.signal("-STOP");
    sleep(LEASE + secs(3)).await;
    holder.signal("-CONT");
    let report = fleet.report().await;
    let counts = server.counts();
    nothing_failed("holder stopped past its lease", &report, &counts);
    assert_eq!(
        counts.password_grants, 2,
        "no process took over, or all did"
    );
}

/// The snapshot holds a refresh token that has been sent since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_goes_on_without_redis_and_joins_again() {
    let server = token_server().await;
    let mut redis = Server::with("save \"\"\n").await;
    let mut fleet = start_fleet(&server, redis.url(), secs(34)).await;
    redis.ask::<()>("SAVE").await;
    fleet.holder().await;
    redis.kill();
    sleep(secs(10)).await;
    redis.restart().await;
    joins_again("redis killed and started again", fleet, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_goes_on_past_a_redis_that_stalls_and_joins_again() {
    let (redis, server) = (Server::start().await, token_server().await);
    let proxy = Proxy::to(redis.port()).await;
    let fleet = start_fleet(&server, proxy.url(), secs(34)).await;
    proxy.stall(true);
    sleep(secs(12)).await;
    proxy.stall(false);
    joins_again("redis stalled", fleet, &server).await;
}

/// Within a token's life or two, the fleet fetches as one again.
async fn joins_again(what: &str, fleet: Fleet, server: &TokenServer) {
    let meanwhile = server.counts();
    sleep(secs(9)).await;
    let back = server.counts();
    let report = fleet.report().await;
    let counts = server.counts();
    let requests = |a: &Counts, b: &Counts| b.token_requests - a.token_requests;
    println!(
        "{what}: token requests: {} until it was back, {} in 9 s after that, {} in the rest",
        meanwhile.token_requests,
        requests(&meanwhile, &back),
        requests(&back, &counts),
    );
    nothing_failed(what, &report, &counts);
    assert!(report.alone > 0, "no process noticed that Redis was gone");
    assert!(requests(&back, &counts) <= 3, "{back:?} {counts:?}");
    assert!(requests(&back, &counts) >= 1, "too short to tell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_goes_on_when_redis_forgets_everything() {
    let (redis, server) = (Server::start().await, token_server().await);
    let mut fleet = start_fleet(&server, redis.url(), secs(24)).await;
    for _ in 0..4 {
        redis.ask::<()>("FLUSHALL").await;
        sleep(secs(3)).await;
    }
    fleet.holder().await;
    redis.ask::<()>("FLUSHALL").await;
    let report = fleet.report().await;
    nothing_failed("redis flushed", &report, &server.counts());
    assert_eq!(report.alone, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_tried_once_by_the_fleet() {
    let (redis, server) = (Server::start().await, token_server().await);
    let mut wrong = setup(&server, redis.url(), secs(5));
    wrong.password = "wr0ng".to_owned();
    let report = Fleet::start(vec![wrong; SIZE]).await.report().await;
    let counts = server.counts();
    println!(
        "wrong password: token requests: {}  requests: {}  failed: {}",
        counts.token_requests, report.requests, report.failed,
    );
    assert_eq!(counts.token_requests, 1);
    assert_eq!(report.failed, report.requests);
}
