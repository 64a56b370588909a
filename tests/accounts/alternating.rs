//! Services whose requests have another account each time: the token is found with
//! the key, and nothing else of the account is read. In real time, because under
//! paused time each request makes a lookup.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tower::{Layer, Service, ServiceExt, service_fn};

use tower_bearer::testing::TokenServer;
use tower_bearer::{
    AccessToken, Accounts, AccountsLayer, BoxError, Error, Origins, TokenErrorKind,
};

use crate::common::{Body, get};
use crate::tenants::{Client, accounts, builder, client, of, served, tenant};

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

/// Returns the number of a token, which is higher than that of any token before it.
fn number(token: &str) -> u64 {
    let number = token.rsplit('.').next().and_then(|it| it.parse().ok());
    number.expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_request_that_begins_after_a_token_was_given_up_carries_it() {
    const ROUNDS: usize = 300;
    let issued = Arc::new(AtomicU64::new(0));
    let accounts = Accounts::new(move |tenant: usize| {
        let issued = issued.clone();
        async move {
            Ok::<_, BoxError>(move || {
                let number = issued.fetch_add(1, Ordering::SeqCst);
                async move { AccessToken::new(format!("t{tenant}.{number}")) }
            })
        }
    });
    let origins = Origins::only(["http://localhost"]).expect("an origin");
    let layer = AccountsLayer::new(accounts.clone(), origins).account_by(|head| {
        let tenant = head.path().strip_prefix("/t")?;
        tenant.parse().ok()
    });
    // Tokens of an account below its floor are no longer in use.
    let floors = Arc::new([const { AtomicU64::new(0) }; TENANTS]);
    let is_over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (floors, is_over) = (floors.clone(), is_over.clone());
            let echo = service_fn(|request: http::Request<Body>| async move {
                let token = request.headers()["authorization"].clone();
                let mut response = http::Response::new(Body::default());
                response.headers_mut().insert("token", token);
                Ok::<_, Infallible>(response)
            });
            let mut service = layer.clone().layer(echo);
            tokio::spawn(async move {
                for tenant in (0..TENANTS).cycle() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let floor = floors[tenant].load(Ordering::SeqCst);
                    let ready = service.ready().await.expect("ready");
                    let answer = ready.call(get(&format!("http://localhost/t{tenant}")));
                    let answer = answer.await.expect("a token");
                    let token = answer.headers()["token"].to_str().expect("ascii");
                    assert!(token.starts_with(&format!("Bearer t{tenant}.")), "{token}");
                    assert!(number(token) >= floor, "{token} was given up: {floor}");
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for tenant in (0..TENANTS).cycle().take(ROUNDS) {
        let tokens = accounts.get_or_create(&tenant).expect("an account");
        let token = tokens.token().await.expect("a token");
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        tokens.invalidate();
        floors[tenant].store(number(token.secret()) + 1, Ordering::SeqCst);
    }
    is_over.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.await.expect("no token that was given up");
    }
}

#[tokio::test]
async fn a_request_that_touches_nothing_but_the_token_is_a_use() {
    let server = served(TENANTS + 1, TokenServer::builder());
    let accounts = builder(&server).capacity(TENANTS).build();
    let accounts = accounts.expect("settings");
    let mut client = client(&server, &accounts);
    send_in_turn(&mut client).await;
    assert_eq!(send(&mut client, 0).await, StatusCode::OK);
    // Another one takes the place of that which was used least recently: not of the
    // first.
    assert_eq!(send(&mut client, TENANTS).await, StatusCode::OK);
    assert!(accounts.get(&tenant(0)).is_some());
    assert!(accounts.get(&tenant(1)).is_none());
}

#[tokio::test]
async fn a_handle_that_is_shut_down_ends_the_requests_of_its_account_alone() {
    let server = served(TENANTS, TokenServer::builder());
    let accounts = accounts(&server);
    let mut client = client(&server, &accounts);
    send_in_turn(&mut client).await;
    let tokens = accounts.get(&tenant(1)).expect("an account");
    tokens.shutdown().await.expect("its session ends");
    for number in [0, 2, 0] {
        assert_eq!(send(&mut client, number).await, StatusCode::OK);
    }
    let ready = client.ready().await.expect("ready");
    let error = ready.call(of(&tenant(1))).await.expect_err("shut down");
    let Error::Token(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), TokenErrorKind::ShutDown);
}
