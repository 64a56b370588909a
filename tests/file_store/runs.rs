//! Programs that start one after the other, and what each leaves to the next.

use std::time::Duration;

use tokio::time::sleep;
use tower_bearer::testing::TokenServer;

use crate::fleet::{Fleet, setup, token_server};
use crate::member::Report;
use crate::place::Place;

async fn run(server: &TokenServer, place: &Place, password: Option<&str>, size: usize) -> Report {
    let mut setup = setup(server, place, Duration::from_millis(300));
    if let Some(password) = password {
        setup.password = password.to_owned();
    }
    Fleet::start(vec![setup; size]).await.report().await
}

#[tokio::test]
async fn a_start_with_a_live_token_sends_no_token_request() {
    let place = Place::new();
    let server = token_server(Duration::from_secs(600), Duration::ZERO).await;
    for _ in 0..5 {
        let report = run(&server, &place, None, 1).await;
        assert_eq!((report.failed, report.alone), (0, 0), "{:?}", report.errors);
    }
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test]
async fn a_start_after_the_token_has_expired_refreshes() {
    let place = Place::new();
    let server = token_server(Duration::from_secs(2), Duration::ZERO).await;
    for _ in 0..3 {
        let report = run(&server, &place, None, 1).await;
        assert_eq!((report.failed, report.alone), (0, 0), "{:?}", report.errors);
        sleep(Duration::from_millis(2100)).await;
    }
    let counts = server.counts();
    assert_eq!(counts.password_grants, 1, "{counts:?}");
    assert!(counts.refresh_grants >= 2, "{counts:?}");
    assert_eq!(counts.refresh_token_reuses, 0);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_by_all_who_start() {
    let place = Place::new();
    let server = token_server(Duration::from_secs(600), Duration::from_millis(50)).await;
    for size in [1, 6, 1] {
        let report = run(&server, &place, Some("wrong"), size).await;
        assert_eq!(report.failed, report.requests);
        assert_eq!(report.alone, 0, "{:?}", report.errors);
    }
    assert_eq!(server.token_requests(), 1);
    // Nor does it stand in the way of the right one.
    let report = run(&server, &place, None, 1).await;
    assert_eq!(report.failed, 0, "{:?}", report.errors);
    assert_eq!(server.counts().password_grants, 1);
}
