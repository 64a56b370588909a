//! A user who may not be impersonated: refused without effect on others, and not for
//! good.

use tokio::time::sleep;
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{TokenCache, TokenErrorKind};

use crate::common::secs;
use crate::world::{ACCESS, access, company, login, tokens, users};

#[tokio::test(start_paused = true)]
async fn an_access_without_impersonation_is_told_so_and_the_refusal_sticks() {
    let server = company(2, TokenServer::builder());
    server.set_impersonator(ACCESS, false);
    let access = access(&server);
    let users = users(&server, &access).build().expect("settings");
    let error = tokens(&users, 0).token().await.expect_err("not enabled");
    assert_eq!(error.kind(), TokenErrorKind::Refused);
    assert_eq!(error.status().map(|it| it.as_u16()), Some(403));
    assert!(error.to_string().contains("impersonation"), "{error}");
    for _ in 0..1000 {
        let again = tokens(&users, 0).token().await.expect_err("from memory");
        assert_eq!(again.kind(), TokenErrorKind::Refused);
    }
    assert_eq!(server.counts().exchange_requests, 1);

    // The access itself is not refused: its own tokens are as good as before.
    access.token().await.expect("a token");
    assert!(access.status().last_error.is_none());
    server.set_impersonator(ACCESS, true);
    tokens(&users, 1).token().await.expect("another user");
    // Impersonation has been enabled: the next attempt is not hours away.
    sleep(error.retry_after().expect("a pause")).await;
    tokens(&users, 0).token().await.expect("a token");
    assert_eq!(server.counts().password_grants, 1);
}

#[tokio::test(start_paused = true)]
async fn a_403_is_the_refusal_of_one_user_alone() {
    let server = company(3, TokenServer::builder());
    let access = access(&server);
    let users = users(&server, &access).build().expect("settings");
    server
        .exchange_endpoint()
        .enqueue([MockResponse::status(403)]);
    let error = tokens(&users, 0).token().await.expect_err("refused");
    assert_eq!(error.kind(), TokenErrorKind::Refused);
    for number in 1..3 {
        tokens(&users, number).token().await.expect("another user");
    }
    // Evicted and made again, it is remembered.
    users.remove(&login(0));
    assert!(tokens(&users, 0).token().await.is_err());
    assert_eq!(server.counts().exchange_requests, 3);
    tokens(&users, 0).reset();
    tokens(&users, 0).token().await.expect("a token");
}

#[tokio::test(start_paused = true)]
async fn the_same_user_of_another_access_is_not_refused_with_it() {
    for known in [true, false] {
        let server = company(
            1,
            TokenServer::builder().user("other@company.example", "pw"),
        );
        let source = |name: &str, password: &str| {
            let known_source = TokenCache::new(server.grant_for(name, password));
            if known {
                return known_source;
            }
            // A source whose credentials cannot be told apart.
            TokenCache::new(move || {
                let tokens = known_source.clone();
                async move { tokens.token().await }
            })
        };
        let (good, bad) = (
            source(ACCESS, "secret"),
            source("other@company.example", "pw"),
        );
        let refused = TokenCache::new(server.impersonation(&bad, login(0)));
        let error = refused.token().await.expect_err("no impersonation");
        assert_eq!(error.kind(), TokenErrorKind::Refused, "{error}");
        let user = TokenCache::new(server.impersonation(&good, login(0)));
        user.token().await.expect("a token");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_in_place_of_a_token_is_not_quoted_and_not_asked_for_again_at_once() {
    let server = company(2, TokenServer::builder());
    let access = access(&server);
    let users = users(&server, &access).build().expect("settings");
    let page = "<html><title>Portal of user0@company.example</title></html>";
    let page = MockResponse::body(200, "text/html", page);
    server.exchange_endpoint().enqueue([page]);
    let error = tokens(&users, 0).token().await.expect_err("a page");
    assert_eq!(error.kind(), TokenErrorKind::InvalidResponse);
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("is not JSON"), "{shown}");
    assert!(
        !shown.contains("Portal") && !shown.contains("user0"),
        "{shown}"
    );
    for _ in 0..100 {
        assert!(tokens(&users, 0).token().await.is_err());
    }
    assert_eq!(server.counts().exchange_requests, 1);
    tokens(&users, 1).token().await.expect("another user");
    sleep(error.retry_after().expect("a pause")).await;
    tokens(&users, 0).token().await.expect("a token");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_was_removed_is_refused_when_the_token_ends_and_others_are_not() {
    let server = company(2, TokenServer::builder());
    let access = access(&server);
    let users = users(&server, &access).build().expect("settings");
    for number in 0..2 {
        tokens(&users, number).token().await.expect("a token");
    }
    server.remove_user(&login(0));
    // Valid by its lifetime, and an API will say otherwise.
    tokens(&users, 0).token().await.expect("the token in use");
    sleep(secs(3000)).await;
    let error = tokens(&users, 0).token().await.expect_err("removed");
    assert_eq!(error.kind(), TokenErrorKind::Refused, "{error}");
    assert_eq!(error.status().map(|it| it.as_u16()), Some(404));
    tokens(&users, 1).token().await.expect("a token");
    let counts = server.counts();
    // The refresh was refused, and so was the exchange that came after it.
    assert_eq!((counts.refused, counts.exchange_requests), (1, 3));
    for _ in 0..1000 {
        assert!(tokens(&users, 0).token().await.is_err());
    }
    assert_eq!(server.counts().exchange_requests, 3);
    assert_eq!(server.counts().password_grants, 1);
}
