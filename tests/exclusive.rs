//! Servers that end the access token in use when they answer a refresh.

#![cfg(feature = "testing")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use common::{get, layer, millis, secs};
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
