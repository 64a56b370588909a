//! Fleets whose Redis is far away, or behind a proxy that drops connections, and
//! fleets of very many processes.

use std::time::Duration;

use tower_bearer::testing::TokenServer;

use crate::fleet::{Fleet, nothing_failed, secs, setup, token_server};
use crate::member::Setup;
use crate::proxy::{Proxy, Way};
use crate::server::{Server, free_port};

const STORE_TIMEOUT: Duration = Duration::from_millis(250);

/// A process with the store's default time.
fn usual(server: &TokenServer, redis: String, span: Duration) -> Setup {
    Setup {
        store_timeout: STORE_TIMEOUT,
        lease: secs(10),
        ..setup(server, redis, span)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_far_from_redis_log_in_once_and_renew_as_one() {
    let (redis, server) = (Server::start().await, token_server().await);
    let proxy = Proxy::by(Way::of(Duration::from_millis(120)), redis.port()).await;
    let setups = vec![usual(&server, proxy.url(), secs(16)); 10];
    let report = Fleet::start(setups).await.report().await;
    let counts = server.counts();
    nothing_failed("Redis 120 ms away", &report, &counts);
    assert_eq!((counts.password_grants, report.alone), (1, 0));
    assert_eq!(report.tokens.len() as u64, counts.token_requests);
    assert!(counts.refresh_grants >= 1, "too short to tell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_tried_once_far_from_redis_too() {
    let (redis, server) = (Server::start().await, token_server().await);
    let proxy = Proxy::by(Way::of(Duration::from_millis(80)), redis.port()).await;
    let mut wrong = usual(&server, proxy.url(), secs(3));
    wrong.password = "wr0ng".to_owned();
    let report = Fleet::start(vec![wrong; 12]).await.report().await;
    let counts = server.counts();
    println!(
        "wrong password, Redis 80 ms away: attempts: {}",
        counts.token_requests
    );
    assert_eq!(counts.token_requests, 1);
    assert_eq!(report.failed, report.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_wrong_passwords_in_turn_are_tried_once_each() {
    let (redis, server) = (Server::start().await, token_server().await);
    let setups = (0..16).map(|n| {
        let mut wrong = usual(&server, redis.url(), secs(2));
        wrong.password = ["wr0ng", "wr1ng"][n % 2].to_owned();
        wrong.start_after = Duration::from_millis(600) * n as u32;
        wrong
    });
    let report = Fleet::start(setups).await.report().await;
    let counts = server.counts();
    println!(
        "two wrong passwords in turn: attempts: {}",
        counts.token_requests
    );
    assert_eq!(counts.token_requests, 2);
    assert_eq!(report.failed, report.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_while_they_are_idle_cost_no_login() {
    let redis = Server::start().await;
    let server = TokenServer::builder()
        .rotate_refresh_tokens(true)
        .access_token_lifetime(secs(16));
    let server = server.start().await.expect("a server");
    let way = Way {
        idle: Some(secs(7)),
        ..Way::default()
    };
    let proxy = Proxy::by(way, redis.port()).await;
    let setups = vec![usual(&server, proxy.url(), secs(30)); 8];
    let report = Fleet::start(setups).await.report().await;
    let counts = server.counts();
    nothing_failed("connections cut after 7 s idle", &report, &counts);
    assert_eq!((counts.password_grants, report.alone), (1, 0));
    assert_eq!(report.tokens.len() as u64, counts.token_requests);
    assert!(counts.refresh_grants >= 2, "too short to tell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_processes_at_one_instant_log_in_five_times_at_most() {
    let redis = Server::start().await;
    let server = TokenServer::builder().rotate_refresh_tokens(true);
    let server = server.start().await.expect("a server");
    let mut setup = usual(&server, redis.url(), secs(2));
    setup.rest = Duration::from_millis(200);
    let report = Fleet::start(vec![setup; 200]).await.report().await;
    let counts = server.counts();
    println!(
        "200 processes at one instant: logins: {}  failed: {}",
        counts.password_grants, report.failed
    );
    assert_eq!(report.failed, 0, "{:?}", report.errors);
    assert!(counts.password_grants <= 5, "{}", counts.password_grants);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_without_redis_is_tried_once_by_each_process() {
    let server = token_server().await;
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    let mut wrong = usual(&server, nobody, secs(6));
    wrong.password = "wr0ng".to_owned();
    let report = Fleet::start(vec![wrong; 12]).await.report().await;
    let counts = server.counts();
    println!(
        "wrong password, no Redis: attempts of 12 processes: {}",
        counts.token_requests
    );
    assert_eq!(counts.token_requests, 12);
    assert_eq!(report.failed, report.requests);
}
