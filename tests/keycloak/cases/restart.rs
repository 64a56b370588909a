//! Keycloak is killed, and started again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_bearer::TokenErrorKind;

use crate::api::Check;
use crate::load::Load;
use crate::stack::Kind;
use crate::world::{World, until};

const CALLERS: usize = 20;
/// Of the tokens for `api-minutes`.
const LIFE: Duration = Duration::from_secs(180);

/// The API uses the expiry in the tokens, because Keycloak cannot be asked. Tokens
/// are due after 9 s, so that renewals are tried and fail while it is down.
pub(crate) async fn a_restart_within_a_tokens_life_fails_nobody(world: Arc<World>) -> String {
    let (realm, kind) = (world.realm(), Kind::Hyper);
    let before = realm.start_afresh("restart").await;
    let api = world.api(Check::Expiry).await;
    let tokens = kind
        .tokens(world.grant("api-minutes", "restart"))
        .renew_before(0.95, LIFE)
        .build()
        .expect("settings");
    let load = Load::start(
        &kind.stack(&tokens, &api.url),
        CALLERS,
        Duration::from_millis(20),
    );
    load.calls(CALLERS as u64).await;
    let killed = Instant::now();
    world.keycloak.kill();
    until("a renewal that failed", || {
        tokens.status().last_error.is_some()
    })
    .await;
    let failed = killed.elapsed();
    world.keycloak.start().await;
    let down = killed.elapsed();
    until("a new token", || tokens.status().generation > Some(1)).await;
    let renewed = killed.elapsed();
    load.calls(2 * CALLERS as u64).await;
    let tally = load.stop().await;
    tally.assert_all_ok();
    assert!(
        down < LIFE - Duration::from_secs(20),
        "too slow a start: {down:?}"
    );
    let requests = realm.requests().await.since(before);
    format!(
        "down for {down:.1?}: 0 of {} calls failed; renewals failed from {failed:.1?} on, the \
         first that did not by {renewed:.1?}; {requests}",
        tally.ok
    )
}

/// Tokens of 10 s.
pub(crate) async fn an_outage_longer_than_a_tokens_life_is_told_and_got_over(
    world: Arc<World>,
) -> String {
    let (realm, kind) = (world.realm(), Kind::Hyper);
    let before = realm.start_afresh("outage").await;
    let api = world.api(Check::Expiry).await;
    let tokens = kind.tokens(world.grant("api-seconds", "outage")).build();
    let tokens = tokens.expect("settings");
    let load = Load::start(
        &kind.stack(&tokens, &api.url),
        CALLERS,
        Duration::from_millis(20),
    );
    load.calls(CALLERS as u64).await;
    let killed = Instant::now();
    world.keycloak.kill();
    until("an error", || load.tally().failed() > 0).await;
    let failed = killed.elapsed();
    assert!(failed > Duration::from_secs(5), "{failed:?}");
    // Well into the outage, each error says what is wrong and until when.
    sleep(Duration::from_secs(5)).await;
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        if let Err(error) = kind.stack(&tokens, &api.url).call().await {
            assert!(error.is_transient(), "{error:?}");
            assert_eq!(error.kind(), TokenErrorKind::Connect, "{error:?}");
            longest = longest.max(error.retry_after().expect("until when"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(longest > Duration::ZERO && longest <= Duration::from_secs(30));
    let error = load.tally().last_error.expect("an error");
    let ok = load.tally().ok;
    world.keycloak.start().await;
    // It is back when another user can log in; the first login takes a while.
    let another = kind
        .tokens(world.grant("api", "plain"))
        .wait_timeout(LIFE)
        .build();
    let another = another.expect("settings");
    while another.token().await.is_err() {
        another.reset();
        sleep(Duration::from_millis(100)).await;
    }
    let back = Instant::now();
    // The rest of the pause, and the time of a login on a busy machine.
    let held = tokens.status().fetch_backoff.unwrap_or_default();
    until("a call that succeeds", || load.tally().ok > ok).await;
    let recovered = back.elapsed();
    assert!(
        recovered < held + Duration::from_secs(5),
        "{recovered:?} {held:?}"
    );
    let calm = load.tally().failed();
    load.calls(5 * CALLERS as u64).await;
    let tally = load.stop().await;
    assert!(tally.failed() <= calm + CALLERS as u64, "{tally:?}");
    let requests = realm.requests().await.since(before);
    format!(
        "down for {:.1?}, calls fail from {failed:.1?} on ({error}, retry after at most \
         {longest:.1?}); recovered {recovered:.1?} after it was back, with {held:.1?} of the pause \
         left; {} calls with 200, failed: {:?}; {requests}",
        back - killed,
        tally.ok,
        tally.errors
    )
}
