//! Services whose requests have another account each time: the token is found beside
//! the key, and nothing else of the account is looked at. In real time, for under
//! paused time each request makes a lookup.

use std::time::Duration;

use http::StatusCode;
use tower::{Service, ServiceExt};

use tower_bearer::testing::TokenServer;
use tower_bearer::{Error, TokenErrorKind};

use crate::tenants::{Client, accounts, client, of, served, tenant};

const TENANTS: usize = 3;

async fn send(client: &mut Client, number: usize) -> StatusCode {
    let ready = client.ready().await.expect("ready");
    let answer = ready.call(of(&tenant(number))).await;
    answer.expect("an answer").status()
}

/// Sends for each tenant in turn, until each is known.
async fn send_in_turn(client: &mut Client) {
    for number in (0..TENANTS).cycle().take(4 * TENANTS) {
        assert_eq!(send(client, number).await, StatusCode::OK);
    }
    client.inner().assert_not_mixed_up();
}

#[tokio::test]
async fn each_request_carries_the_token_of_its_account() {
    let server = served(TENANTS, TokenServer::builder());
    let mut client = client(&server, &accounts(&server));
    send_in_turn(&mut client).await;
    let mut clones = client.clone();
    send_in_turn(&mut clones).await;
    // Not always another one.
    for number in [0, 0, 1, 1, 1, 0, 2, 2, 0] {
        assert_eq!(send(&mut client, number).await, StatusCode::OK);
    }
    client.inner().assert_not_mixed_up();
    assert_eq!(server.token_requests(), TENANTS as u64);
}

#[tokio::test]
async fn a_token_that_was_given_up_is_sent_no_more() {
    let server = served(TENANTS, TokenServer::builder());
    let accounts = accounts(&server);
    let mut client = client(&server, &accounts);
    send_in_turn(&mut client).await;
    for number in 0..TENANTS {
        let before = server.token_requests();
        accounts
            .get(&tenant(number))
            .expect("an account")
            .invalidate();
        assert_eq!(send(&mut client, number).await, StatusCode::OK);
        assert_eq!(server.token_requests(), before + 1, "{number}");
        send_in_turn(&mut client).await;
        assert_eq!(server.token_requests(), before + 1, "{number}");
    }
}

#[tokio::test]
async fn an_account_that_was_removed_is_made_anew() {
    let server = served(TENANTS, TokenServer::builder());
    let accounts = accounts(&server);
    let mut client = client(&server, &accounts);
    send_in_turn(&mut client).await;
    drop(accounts.remove(&tenant(1)).expect("an account"));
    send_in_turn(&mut client).await;
    assert_eq!(server.token_requests(), TENANTS as u64 + 1);
}

#[tokio::test]
async fn a_rejected_token_is_renewed_and_the_request_replayed() {
    let server = served(TENANTS, TokenServer::builder());
    let mut client = client(&server, &accounts(&server));
    send_in_turn(&mut client).await;
    server.revoke_access_tokens();
    for number in 0..TENANTS {
        assert_eq!(send(&mut client, number).await, StatusCode::OK);
    }
    client.inner().assert_not_mixed_up();
    assert_eq!(server.token_requests(), 2 * TENANTS as u64);
}

#[tokio::test]
async fn after_a_shutdown_no_token_is_sent() {
    let server = served(TENANTS, TokenServer::builder());
    let accounts = accounts(&server);
    let mut client = client(&server, &accounts);
    send_in_turn(&mut client).await;
    let ended = accounts.shutdown(Duration::from_secs(5)).await;
    ended.expect("all sessions end");
    for number in 0..TENANTS {
        let ready = client.ready().await.expect("ready");
        let error = ready
            .call(of(&tenant(number)))
            .await
            .expect_err("shut down");
        let Error::Token(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), TokenErrorKind::ShutDown);
    }
}
