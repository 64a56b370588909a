//! Servers that end the access token in use when they answer a refresh.

#![cfg(feature = "testing")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use common::{get, layer, millis, secs};
use tower_bearer::store::MemoryStore;
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{
    AccessToken, NoReplay, RefreshToken, Renewal, TokenCache, TokenError, TokenErrorKind,
    TokenResponse, TokenSource,
};

const WORKERS: u64 = 30;
const LIFETIME: u64 = 10;

/// Lets workers call without an end to one another, each request taking some time
/// at the API, through five renewals. Returns how many 401s each one led to.
async fn rejected(renewal: Renewal) -> Vec<u64> {
    let server = TokenServer::builder()
        .access_token_lifetime(secs(LIFETIME))
        .rotate_refresh_tokens(true)
        .refresh_ends_access_tokens(true)
        .delay(millis(50))
        .in_process();
    let tokens = TokenCache::builder(server.grant()).renewal(renewal);
    let tokens = tokens.build().expect("settings");
    // The API reads the token at the end of this.
    let takes = MockResponse::default().after(millis(20));
    server.api().set_default(takes);
    let api = layer(&server, &tokens)
        .replay(NoReplay)
        .layer(server.service());
    let start = Instant::now();
    let renewals = 7;
    let counts: Arc<[AtomicU64]> = (0..=renewals).map(|_| AtomicU64::new(0)).collect();
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            let (api, counts) = (api.clone(), counts.clone());
            tokio::spawn(async move {
                sleep(millis(n)).await;
                while start.elapsed() < secs(5 * LIFETIME) {
                    let response = api.clone().oneshot(get("http://localhost/")).await;
                    let status = response.expect("an answer").status();
                    if status == StatusCode::UNAUTHORIZED {
                        let at = start.elapsed().as_secs() * 10 / (8 * LIFETIME);
                        counts[at.min(renewals) as usize].fetch_add(1, Ordering::SeqCst);
                    }
                    sleep(millis(7)).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("no panic");
    }
    assert_eq!(server.counts().password_grants, 1, "refreshes do");
    assert!(server.counts().refresh_grants >= 5);
    counts.iter().map(|it| it.load(Ordering::SeqCst)).collect()
}

#[tokio::test(start_paused = true)]
async fn exclusive_renewal_lets_no_request_meet_the_end_of_its_token() {
    let rejected = rejected(Renewal::Exclusive).await;
    assert_eq!(rejected.iter().sum::<u64>(), 0, "{rejected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cache_learns_to_renew_exclusively_from_two_renewals() {
    let rejected = rejected(Renewal::Automatic).await;
    let (first, later) = rejected.split_at(3);
    assert!(first.iter().sum::<u64>() > 0, "{rejected:?}");
    assert_eq!(later.iter().sum::<u64>(), 0, "{rejected:?}");
}

/// Yields a token and a refresh token, and fails each refresh in the same way.
struct FailsRefreshes(TokenErrorKind);

impl TokenSource for FailsRefreshes {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        let token = AccessToken::new("a")?.with_lifetime(secs(LIFETIME));
        Ok(TokenResponse::new(token).with_refresh_token(RefreshToken::new("r")?))
    }

    async fn refresh(&self, _: &RefreshToken) -> Result<TokenResponse, TokenError> {
        sleep(millis(50)).await;
        Err(TokenError::new(self.0, "a failed refresh"))
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_refresh_that_the_server_may_have_processed_is_blamed_for_a_rejection() {
    for (kind, renewal) in [
        (TokenErrorKind::Connect, Renewal::Automatic),
        (TokenErrorKind::Refused, Renewal::Automatic),
        (TokenErrorKind::Timeout, Renewal::Exclusive),
        (TokenErrorKind::Unavailable, Renewal::Exclusive),
    ] {
        // During the refresh, and after it.
        for pause in [millis(10), millis(500)] {
            let tokens = TokenCache::new(FailsRefreshes(kind));
            for _ in 0..5 {
                let token = tokens.token().await.expect("a token");
                sleep(millis(8500)).await;
                tokens
                    .ready()
                    .expect("served, and renewed in the background");
                sleep(pause).await;
                tokens.reject(&token);
                sleep(secs(60)).await;
            }
            let status = tokens.status();
            assert_eq!(status.renewal, renewal, "{kind:?} {pause:?}");
        }
    }
}

/// The response to a request.
async fn sent(
    api: impl tower::Service<
        http::Request<common::Body>,
        Response = http::Response<impl Sized>,
        Error = impl std::fmt::Debug,
    >,
) -> StatusCode {
    let answer = api.oneshot(get("http://localhost/")).await;
    answer.expect("an answer").status()
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_is_discarded_while_requests_are_waited_for_is_not_sent() {
    for store in [None, Some(MemoryStore::new())] {
        let server = TokenServer::builder()
            .access_token_lifetime(secs(100))
            .rotate_refresh_tokens(true)
            .in_process();
        let builder = TokenCache::builder(server.grant()).renewal(Renewal::Exclusive);
        let builder = builder.renew_before(0.5, secs(100)).renew_jitter(0.0);
        let builder = match &store {
            Some(store) => builder.store(store.clone(), "me"),
            None => builder,
        };
        let tokens = builder.build().expect("settings");
        let api = layer(&server, &tokens).layer(server.service());
        tokens.warm_up().await.expect("a login");
        sleep(secs(50)).await;
        tokens.ready().expect("due");
        sleep(secs(1)).await;
        let counts = server.counts();
        assert_eq!((counts.password_grants, counts.refresh_grants), (1, 1));
        // What came by refresh is due again, and the first answer rejects it.
        server.api().enqueue([
            MockResponse::status(StatusCode::UNAUTHORIZED).after(millis(200)),
            MockResponse::default().after(millis(900)),
        ]);
        sleep(millis(48_990)).await;
        let rejected = tokio::spawn(sent(api.clone()));
        sleep(millis(20)).await;
        let slow = tokio::spawn(sent(api.clone()));
        assert_eq!(slow.await.expect("no panic"), StatusCode::OK);
        assert_eq!(rejected.await.expect("no panic"), StatusCode::OK);
        let counts = server.counts();
        assert_eq!((counts.password_grants, counts.refresh_grants), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_with_a_token_that_has_expired_or_was_given_up_are_waited_for() {
    for expires in [true, false] {
        let server = TokenServer::builder()
            .access_token_lifetime(secs(LIFETIME))
            .refresh_ends_access_tokens(true)
            .in_process();
        let builder = TokenCache::builder(server.grant()).renewal(Renewal::Exclusive);
        // Due 40 ms before it is expired, a second before the server ends it.
        let builder = builder.renew_before(0.104, secs(300)).renew_jitter(0.0);
        let tokens = builder.build().expect("settings");
        let takes = MockResponse::default().after(millis(500));
        server.api().set_default(takes);
        let api = layer(&server, &tokens)
            .replay(NoReplay)
            .layer(server.service());
        tokens.warm_up().await.expect("a login");
        sleep(millis(8950)).await;
        let slow = tokio::spawn(sent(api.clone()));
        sleep(millis(100)).await;
        if !expires {
            tokens.invalidate();
        }
        let start = Instant::now();
        tokens.token().await.expect("by refresh");
        assert_eq!(server.counts().refresh_grants, 1);
        assert_eq!(start.elapsed(), millis(400), "{expires}");
        assert_eq!(slow.await.expect("no panic"), StatusCode::OK, "{expires}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_a_shutdown_while_requests_are_waited_for() {
    let server = TokenServer::builder()
        .access_token_lifetime(secs(LIFETIME))
        .in_process();
    let tokens = TokenCache::builder(server.grant()).renewal(Renewal::Exclusive);
    let tokens = tokens.build().expect("settings");
    let takes = MockResponse::default().after(millis(900));
    server.api().set_default(takes);
    let api = layer(&server, &tokens).layer(server.service());
    tokens.warm_up().await.expect("a login");
    sleep(millis(8500)).await;
    // Due: its renewal waits for it.
    let slow = tokio::spawn(sent(api.clone()));
    sleep(millis(100)).await;
    tokens.shutdown().await.expect("nothing to end");
    assert_eq!(slow.await.expect("no panic"), StatusCode::OK);
    sleep(secs(60)).await;
    assert_eq!(server.token_requests(), 1);
}
