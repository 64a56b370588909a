//! The life of a user's token: refreshed or exchanged again, while the access's own
//! token comes and goes.

use tokio::time::sleep;
use tower_bearer::TokenCache;
use tower_bearer::testing::{ApiRejection, TokenServer};

use crate::common::{api, call, secs};
use crate::world::{access, company, login};

#[tokio::test(start_paused = true)]
async fn with_a_refresh_token_a_token_is_refreshed_for_a_day() {
    let server = company(1, TokenServer::builder().rotate_refresh_tokens(true));
    let access = access(&server);
    let user = TokenCache::new(server.impersonation(&access, login(0)));
    user.keep_warm();
    user.token().await.expect("a token");
    sleep(secs(24 * 3600)).await;
    user.token().await.expect("a token");
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.exchanges), (1, 1));
    assert!(counts.refresh_grants >= 30, "{counts:?}");
    assert_eq!(counts.refused, 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_refresh_token_a_token_is_exchanged_again() {
    let server = company(1, TokenServer::builder().no_refresh_tokens_from_exchange());
    let access = access(&server);
    let user = TokenCache::new(server.impersonation(&access, login(0)));
    let first = user.token().await.expect("a token");
    sleep(secs(2800)).await;
    // Due: renewed in the background.
    let same = user.token().await.expect("a token");
    assert_eq!(same.generation(), first.generation());
    sleep(secs(1)).await;
    let second = user.token().await.expect("a token");
    assert_eq!(second.generation(), first.generation() + 1);
    let counts = server.counts();
    assert_eq!((counts.exchanges, counts.password_grants), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_of_the_access_that_was_revoked_is_renewed_once_and_the_exchange_sent_again() {
    let server = company(2, TokenServer::builder());
    let access = access(&server);
    access.token().await.expect("a token");
    server.revoke_access_tokens();
    let user = TokenCache::new(server.impersonation(&access, login(0)));
    user.token().await.expect("a token");
    let counts = server.counts();
    assert_eq!(
        counts.exchange_requests, 2,
        "one of them was answered by 401"
    );
    assert_eq!((counts.exchanges, counts.token_requests), (1, 2));
    assert_eq!(access.token().await.expect("a token").generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_users_token_that_an_api_rejects_is_renewed_and_the_request_sent_again() {
    let server = company(1, TokenServer::builder().voipex_api());
    let access = access(&server);
    let user = TokenCache::new(server.impersonation(&access, login(0)));
    let api = api(&server, &user);
    assert_eq!(call_path(&api).await, 200);
    server.revoke_access_tokens();
    assert_eq!(call_path(&api).await, 200);
    let counts = server.counts();
    assert_eq!((counts.api_unauthorized, counts.api_ok), (1, 2));
    assert_eq!((counts.exchanges, counts.refresh_grants), (1, 1));
}

async fn call_path(api: &crate::common::Api) -> u16 {
    use tower::ServiceExt;
    let request = crate::common::get("http://localhost/calls");
    let response = api.clone().oneshot(request).await.expect("an answer");
    response.status().as_u16()
}

async fn assert_renewed_after(rejection: ApiRejection) {
    let server = company(1, TokenServer::builder().api_rejection(rejection));
    let access = access(&server);
    access.token().await.expect("a token");
    server.revoke_access_tokens();
    let user = TokenCache::new(server.impersonation(&access, login(0)));
    user.token().await.expect("a token");
    server.revoke_access_tokens();
    assert_eq!(call(&api(&server, &user)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_dead_token_is_renewed_where_it_is_answered_as_keycloak_does() {
    assert_renewed_after(ApiRejection::BearerChallenge).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_token_is_renewed_where_it_is_answered_as_hapi_does() {
    assert_renewed_after(ApiRejection::TokenChallenge).await;
}

#[tokio::test]
async fn the_end_of_a_cache_ends_the_users_session_and_leaves_that_of_the_access() {
    let server = company(1, TokenServer::builder());
    let access = access(&server);
    let user = TokenCache::new(server.impersonation(&access, login(0)));
    user.token().await.expect("a token");
    assert_eq!(server.counts().open_sessions, 2);
    user.shutdown().await.expect("ended");
    assert_eq!(server.counts().open_sessions, 1);
    access.shutdown().await.expect("ended");
    assert_eq!(server.counts().open_sessions, 0);
}
