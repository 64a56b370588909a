//! The access itself: what becomes of its users when it is refused, and when its
//! password changes.

use std::sync::{Arc, Mutex};

use tokio::time::sleep;
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{Accounts, BoxError, BoxTokenSource, TokenCache, TokenError, TokenErrorKind};

use crate::common::{millis, secs};
use crate::world::{ACCESS, access, company, login, tokens, users};

/// The error of the access that an error of a user includes.
fn of_access(error: &TokenError) -> &TokenError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    cause.unwrap_or_else(|| panic!("no token error in {error:?}"))
}

#[tokio::test(start_paused = true)]
async fn a_refused_access_is_told_as_such_and_asked_once() {
    let server = company(3, TokenServer::builder());
    let access = TokenCache::new(server.grant_for(ACCESS, "wrong"));
    let users = users(&server, &access).build().expect("settings");
    for round in 0..200 {
        let error = tokens(&users, round % 3)
            .token()
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), TokenErrorKind::Source, "{error}");
        assert_eq!(of_access(&error).kind(), TokenErrorKind::Refused);
        let shown = error.to_string();
        assert!(shown.contains("acts for this user"), "{shown}");
        assert!(
            shown.contains("refused the user name or password"),
            "{shown}"
        );
        sleep(millis(200)).await;
    }
    let counts = server.counts();
    assert_eq!((counts.token_requests, counts.exchange_requests), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn users_recover_with_their_access_and_are_not_refused_themselves() {
    let server = company(3, TokenServer::builder());
    let access = access(&server);
    let users = users(&server, &access).build().expect("settings");
    server.set_password(ACCESS, "another one");
    for _hour in 0..6 {
        assert!(tokens(&users, 0).token().await.is_err());
        sleep(secs(3600)).await;
    }
    let attempts = server.token_requests();
    assert!(attempts <= 5, "{attempts}");
    assert!(tokens(&users, 0).token().await.is_err());
    server.set_password(ACCESS, "secret");
    access.reset();
    // Their own pause has nothing to do with that of a refusal.
    sleep(secs(30)).await;
    for number in 0..3 {
        tokens(&users, number).token().await.expect("a token");
    }
}

#[tokio::test(start_paused = true)]
async fn users_go_on_with_their_tokens_while_the_access_is_refused() {
    let server = company(4, TokenServer::builder());
    let access = access(&server);
    let users = users(&server, &access).build().expect("settings");
    for number in 0..3 {
        tokens(&users, number).keep_warm();
        tokens(&users, number).token().await.expect("a token");
    }
    // The access can no longer log in or refresh.
    server.disable_user(ACCESS);
    access.invalidate();
    for _hour in 0..24 {
        for number in 0..3 {
            tokens(&users, number).token().await.expect("refreshed");
        }
        sleep(secs(3600)).await;
    }
    let error = tokens(&users, 3).token().await.expect_err("a new user");
    assert_eq!(of_access(&error).kind(), TokenErrorKind::Refused);
    assert_eq!(server.counts().exchanges, 3);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_never_accepts_the_access_is_no_load_on_the_token_endpoint() {
    let server = company(20, TokenServer::builder());
    let access = access(&server);
    let users = users(&server, &access).build().expect("settings");
    let challenge = "Bearer error=\"invalid_token\"";
    let never = MockResponse::unauthorized([challenge]);
    server.exchange_endpoint().set_default(never);
    for _ in 0..360 {
        for number in 0..20 {
            let error = tokens(&users, number).token().await.expect_err("no token");
            assert_eq!(error.kind(), TokenErrorKind::Unavailable, "{error}");
            assert!(
                error.to_string().contains("token of the account"),
                "{error}"
            );
        }
        sleep(secs(10)).await;
    }
    // An hour: a renewal a minute, once its pauses have grown.
    let counts = server.counts();
    assert!(counts.token_requests < 80, "{counts:?}");
    assert_eq!(
        counts.password_grants + counts.refresh_grants,
        counts.token_requests
    );
    server.exchange_endpoint().clear();
    sleep(secs(60)).await;
    for number in 0..20 {
        tokens(&users, number).token().await.expect("a token");
    }
}

/// An access and its users in one `Accounts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Access,
    User(usize),
}

#[tokio::test(start_paused = true)]
async fn a_changed_password_is_read_anew_and_costs_one_refusal() {
    let server = company(
        100,
        TokenServer::builder().no_refresh_tokens_from_exchange(),
    );
    let password = Arc::new(Mutex::new("secret"));
    let cell = Arc::new(std::sync::OnceLock::<Accounts<Key>>::new());
    let (made_by, secret, all) = (server.clone(), password.clone(), cell.clone());
    let accounts = Accounts::builder(move |key: Key| {
        let (server, secret, all) = (made_by.clone(), secret.clone(), all.clone());
        async move {
            Ok::<_, BoxError>(match key {
                Key::Access => {
                    let password = *secret.lock().expect("no panic");
                    BoxTokenSource::new(server.grant_for(ACCESS, password))
                }
                Key::User(number) => {
                    let access = all.get().expect("set").get_or_create(&Key::Access)?;
                    BoxTokenSource::new(server.impersonation(&access, login(number)))
                }
            })
        }
    });
    let accounts = accounts
        .max_concurrent_fetches(1)
        .build()
        .expect("settings");
    cell.set(accounts.clone()).expect("once");
    let user = |number| {
        accounts
            .get_or_create(&Key::User(number))
            .expect("an account")
    };
    user(0).token().await.expect("a token");

    server.set_password(ACCESS, "changed");
    server.end_sessions();
    let callers = (1..100).map(|number| {
        let tokens = user(number);
        tokio::spawn(async move { tokens.token().await })
    });
    for caller in callers.collect::<Vec<_>>() {
        let error = caller.await.expect("no panic").expect_err("refused");
        assert_eq!(of_access(&error).kind(), TokenErrorKind::Refused, "{error}");
    }
    // Its refresh token first, and the old password once.
    assert_eq!(server.counts().refused, 2);

    *password.lock().expect("no panic") = "changed";
    accounts.get(&Key::Access).expect("in use").reset();
    sleep(secs(30)).await;
    let callers = (1..100).map(|number| {
        let tokens = user(number);
        tokio::spawn(async move { tokens.token().await })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no panic").expect("a token");
    }
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.exchanges), (2, 100));
    assert_eq!(
        (counts.refused, counts.max_concurrent_exchange_requests),
        (2, 1)
    );
}
