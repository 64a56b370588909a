//! Several caches on one store: a fleet makes as many token requests as one process.
//!
//! Each cache here stands for a process. Real processes and a real Redis are in
//! `tests/redis`.

#![cfg(feature = "testing")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use common::{api, call, millis, secs};
use tower_bearer::store::{Account, Acquire, Acquired, Entry, Lease, MemoryStore, Payload, Stored};
use tower_bearer::store::{Completion, TokenStore};
use tower_bearer::testing::{MockResponse, TokenServer, TokenServerBuilder};
use tower_bearer::{BoxError, PasswordGrant, TokenCache, TokenErrorKind, TokenSource};

const ACCOUNT: &str = "me";

fn rotating_server() -> TokenServerBuilder {
    TokenServer::builder()
        .user("me", "pw")
        .rotate_refresh_tokens(true)
}

fn member(server: &TokenServer, store: &(impl TokenStore + Clone)) -> TokenCache {
    TokenCache::builder(server.grant())
        .store(store.clone(), ACCOUNT)
        .build()
        .expect("valid")
}

fn fleet(builder: TokenServerBuilder, size: usize) -> (TokenServer, MemoryStore, Vec<TokenCache>) {
    let (server, store) = (builder.in_process(), MemoryStore::new());
    let caches = (0..size).map(|_| member(&server, &store)).collect();
    (server, store, caches)
}

/// The token of each cache, fetched by all of them at once.
async fn tokens(caches: &[TokenCache]) -> Vec<String> {
    let callers: Vec<_> = caches
        .iter()
        .map(|cache| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.token().await })
        })
        .collect();
    let mut tokens = Vec::new();
    for caller in callers {
        let token = caller.await.expect("no panic").expect("a token");
        tokens.push(token.secret().to_owned());
    }
    tokens
}

fn request_for(span: Duration) -> Acquire {
    let mut acquire = Acquire::default();
    acquire.lease = span;
    acquire
}

/// The account of the server's user in a store.
fn account(server: &TokenServer) -> Account {
    Account::new(ACCOUNT).held_by(server.grant().holder())
}

async fn acquire_lease(store: &impl TokenStore, account: &Account, acquire: Acquire) -> Lease {
    match store.acquire(account, &acquire).await {
        Ok(Acquired::Lease(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cold_fleet_makes_one_token_request() {
    let (server, _, caches) = fleet(rotating_server().delay(secs(2)), 10);
    let start = Instant::now();
    let tokens = tokens(&caches).await;
    assert!(tokens.iter().all(|token| token == &tokens[0]));
    assert_eq!(server.counts().token_requests, 1);
    assert_eq!(
        start.elapsed().as_secs(),
        2,
        "notified, not found by polling"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fleet_lives_for_a_day_on_one_login() {
    let (server, _, caches) = fleet(rotating_server().delay(millis(300)), 10);
    for cache in &caches {
        cache.keep_warm();
    }
    sleep(secs(24 * 3600)).await;
    let last = tokens(&caches).await;
    assert!(last.iter().all(|token| token == &last[0]));
    let counts = server.counts();
    assert_eq!(counts.password_grants, 1, "{counts:?}");
    // A day in steps of 2700 s and a little more.
    assert!((31..=33).contains(&counts.token_requests), "{counts:?}");
    assert_eq!((counts.refresh_token_reuses, counts.refused), (0, 0));
    assert_eq!(counts.open_sessions, 1);
    assert_eq!(counts.max_concurrent_token_requests, 1);
}

#[tokio::test(start_paused = true)]
async fn a_401_costs_the_fleet_one_renewal() {
    let (server, _, caches) = fleet(rotating_server().delay(secs(1)), 10);
    tokens(&caches).await;
    for round in 1..=10 {
        server.revoke_access_tokens();
        let calls: Vec<_> = caches
            .iter()
            .map(|cache| {
                let api = api(&server, cache);
                tokio::spawn(async move { call(&api).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.expect("no panic").0, 200);
        }
        assert_eq!(server.counts().token_requests, 1 + round);
        sleep(secs(60)).await;
    }
    // One after the other, too: the first renews, the others use its token.
    server.revoke_access_tokens();
    for cache in &caches {
        assert_eq!(call(&api(&server, cache)).await.0, 200);
    }
    let counts = server.counts();
    assert_eq!(counts.token_requests, 12);
    assert_eq!(
        (counts.password_grants, counts.refresh_token_reuses),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_later_knows_the_age_of_the_token() {
    let (server, store, caches) = fleet(rotating_server(), 1);
    tokens(&caches).await;
    sleep(secs(1000)).await;
    let late = member(&server, &store);
    let token = late.token().await.expect("a token");
    assert_eq!(token.lifetime(), Some(secs(3000)));
    let left = late.status().valid_for.expect("an end");
    assert!(left <= secs(1990) && left >= secs(1989), "{left:?}");
    assert_eq!(server.counts().token_requests, 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_once_by_the_whole_fleet() {
    let (server, store, _) = fleet(rotating_server(), 0);
    let wrong = || {
        let grant = PasswordGrant::new(server.token_url(), "api", "me", "wrong").expect("valid");
        TokenCache::builder(grant.transport(server.service()))
            .store(store.clone(), ACCOUNT)
            .build()
            .expect("valid")
    };
    let caches: Vec<_> = (0..10).map(|_| wrong()).collect();
    for cache in &caches {
        let error = cache.token().await.expect_err("refused");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
        assert_eq!(error.oauth_error(), Some("invalid_grant"));
        let wait = error.retry_after().expect("a time");
        assert!(wait > secs(59) && wait <= secs(75), "{wait:?}");
    }
    assert_eq!(server.counts().token_requests, 1);

    // An hour of all of them: as many attempts as one process makes.
    for _ in 0..3600 {
        for cache in &caches {
            cache.token().await.expect_err("refused");
        }
        sleep(secs(1)).await;
    }
    assert_eq!(server.counts().token_requests, 3);

    // A process with the right password does not wait.
    let right = member(&server, &store);
    right.token().await.expect("a token");
    // The others use that token, once their own pause is over or reset.
    caches[0].reset();
    caches[0].token().await.expect("a token");
    assert_eq!(server.counts().token_requests, 4);
}

#[tokio::test(start_paused = true)]
async fn a_reset_leads_to_one_more_attempt() {
    let (server, _, caches) = fleet(rotating_server(), 2);
    server.disable_user("me");
    for cache in &caches {
        cache.token().await.expect_err("disabled");
    }
    server.enable_user("me");
    for cache in &caches {
        cache.token().await.expect_err("sticks");
    }
    assert_eq!(server.counts().token_requests, 1);
    caches[1].reset();
    caches[1].token().await.expect("a token");
    assert_eq!(server.counts().token_requests, 2);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_endpoint_is_asked_by_one_at_a_time_and_the_pause_counts_for_all() {
    let (server, _, caches) = fleet(rotating_server(), 10);
    let away = MockResponse::status(http::StatusCode::SERVICE_UNAVAILABLE).retry_after("100");
    server.token_endpoint().set_default(away);
    for cache in &caches {
        let error = cache.token().await.expect_err("away");
        assert_eq!(error.kind(), TokenErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(secs(100)));
    }
    assert_eq!(server.counts().token_requests, 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_holder_of_the_lease_dies_another_follows_and_its_refresh_token_is_never_used() {
    let (server, store, caches) = fleet(rotating_server(), 5);
    tokens(&caches).await;
    sleep(secs(2995)).await;
    let mut acquire = request_for(secs(15));
    acquire.newer_than = 1;
    let dead = acquire_lease(&store, &account(&server), acquire).await;
    assert!(dead.refresh_token.is_some());
    let start = Instant::now();
    tokens(&caches).await;
    assert_eq!(start.elapsed().as_secs(), 15);
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.refresh_grants), (2, 0));
    // It continues, too late.
    let mut late = Completion::of(&dead);
    late.token = Some(Stored::new(b"late".to_vec(), secs(60)));
    assert!(
        !store
            .complete(&account(&server), &late)
            .await
            .expect("a store")
    );
    tokens(&caches).await;
    assert_eq!(server.counts().token_requests, 2);
}

#[tokio::test(start_paused = true)]
async fn garbage_in_the_store_is_replaced() {
    let (server, store, caches) = fleet(rotating_server(), 3);
    for text in ["", "{}", "garbage"] {
        let lease = acquire_lease(&store, &account(&server), request_for(secs(1))).await;
        let garbage = || Some(Stored::new(text.as_bytes().to_vec(), secs(3000)));
        let mut completion = Completion::of(&lease);
        (completion.token, completion.refresh_token) = (garbage(), garbage());
        assert!(
            store
                .complete(&account(&server), &completion)
                .await
                .expect("a store")
        );
        let before = server.counts().token_requests;
        for cache in &caches {
            cache.invalidate();
        }
        tokens(&caches).await;
        assert_eq!(server.counts().token_requests, before + 1);
        for cache in &caches {
            cache.revoke().await.expect("revoked");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_was_put_off_is_used_later_and_one_that_may_be_used_up_is_not() {
    // The second attempt in the same fetch sends the refresh token again, or logs in.
    for (answer, again, password_grants) in [
        (MockResponse::status(503), true, 1),
        (MockResponse::status(429), false, 1),
        (MockResponse::status(502), true, 2),
        (MockResponse::close(), true, 2),
        (MockResponse::hang(), false, 2),
    ] {
        let (server, _, caches) = fleet(rotating_server(), 2);
        tokens(&caches).await;
        server.token_endpoint().enqueue([answer]);
        caches[0].invalidate();
        let token = caches[0].token().await;
        assert_eq!(token.is_ok(), again, "{token:?}");
        sleep(secs(300)).await;
        caches[1].invalidate();
        tokens(&caches).await;
        let counts = server.counts();
        assert_eq!(counts.password_grants, password_grants, "{counts:?}");
        assert_eq!((counts.token_requests, counts.refresh_token_reuses), (3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_is_made_only_if_it_fits_into_the_lease() {
    for (lease, attempts) in [(15, 2), (11, 2), (10, 1)] {
        let (server, store) = (rotating_server().in_process(), MemoryStore::new());
        server
            .token_endpoint()
            .enqueue([MockResponse::status(502).retry_after("1")]);
        let cache = TokenCache::builder(server.grant())
            .deferred_backoff(millis(1), secs(1))
            .lease_duration(secs(lease))
            .store(store, ACCOUNT)
            .build()
            .expect("valid");
        assert_eq!(cache.token().await.is_ok(), attempts == 2, "{lease}");
        assert_eq!(server.counts().token_requests, attempts, "{lease}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_shorter_than_a_fetch_is_refused_with_both_figures() {
    let server = rotating_server().in_process();
    let build = |lease: Duration, source: Duration| {
        let builder = TokenCache::builder(server.grant()).store(MemoryStore::new(), ACCOUNT);
        builder.lease_duration(lease).source_timeout(source).build()
    };
    build(secs(10), secs(30)).expect("as long as a token request");
    build(secs(2), secs(2)).expect("as long as the source");
    for (lease, source, figures) in [
        (millis(200), secs(30), ["200ms", "10s"]),
        (secs(2), secs(3), ["2s", "3s"]),
    ] {
        let error = build(lease, source).expect_err("too short");
        assert_eq!(error.field(), "lease_duration");
        let shown = error.to_string();
        assert!(figures.iter().all(|it| shown.contains(it)), "{shown}");
    }
}

/// A store that misbehaves as a test says.
#[derive(Clone, Default)]
struct FaultyStore {
    store: MemoryStore,
    fault: Arc<Mutex<Fault>>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Fault {
    #[default]
    None,
    Error,
    NoAnswer,
    Panic,
    /// Answers a request for no lease with a newer token.
    NewerToken,
    /// Answers every request with the same garbage.
    Garbage,
    /// Processes the request, and does not answer.
    NoAnswerAfterwards,
}

impl FaultyStore {
    fn set_fault(&self, fault: Fault) {
        *self.fault.lock().expect("no panic") = fault;
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().expect("no panic")
    }

    async fn answer<R>(&self, answer: Result<R, BoxError>) -> Result<R, BoxError> {
        match self.fault() {
            Fault::None | Fault::NewerToken | Fault::Garbage => answer,
            Fault::Error => Err("no connection".into()),
            Fault::NoAnswer | Fault::NoAnswerAfterwards => std::future::pending().await,
            Fault::Panic => panic!("a user's own store"),
        }
    }

    fn processes_calls(&self) -> bool {
        matches!(
            self.fault(),
            Fault::None | Fault::NewerToken | Fault::NoAnswerAfterwards
        )
    }
}

impl TokenStore for FaultyStore {
    async fn acquire(&self, account: &Account, acquire: &Acquire) -> Result<Acquired, BoxError> {
        if self.fault() == Fault::NewerToken && acquire.lease.is_zero() {
            return Ok(Acquired::Token(Entry {
                generation: 1000,
                payload: Payload::from(
                    br#"{"version":1,"token":"newer","lifetime":3000000}"#.to_vec(),
                ),
                ttl: secs(2000),
            }));
        }
        if self.fault() == Fault::Garbage {
            return Ok(Acquired::Token(Entry {
                generation: 1000,
                payload: Payload::from(b"garbage".to_vec()),
                ttl: secs(2000),
            }));
        }
        let busy = Ok(Acquired::Busy(Duration::ZERO));
        let answer = if self.processes_calls() {
            self.store.acquire(account, acquire).await
        } else {
            busy
        };
        self.answer(answer).await
    }

    async fn complete(&self, account: &Account, completion: &Completion) -> Result<bool, BoxError> {
        let answer = if self.processes_calls() {
            self.store.complete(account, completion).await
        } else {
            Ok(false)
        };
        self.answer(answer).await
    }

    async fn withdraw(&self, account: &Account, nonce: u64) -> Result<(), BoxError> {
        if !self.processes_calls() {
            return self.answer(Ok(())).await;
        }
        self.store.withdraw(account, nonce).await
    }

    fn changes(&self, account: &Account) -> watch::Receiver<()> {
        self.store.changes(account)
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_store_each_cache_fetches_alone_in_bounded_time_and_joins_again() {
    // The first call has the time that connecting takes.
    for (fault, bound) in [
        (Fault::Error, 0),
        (Fault::NoAnswer, 2000),
        (Fault::Panic, 0),
    ] {
        let (server, store) = (rotating_server().in_process(), FaultyStore::default());
        let caches: Vec<_> = (0..3).map(|_| member(&server, &store)).collect();
        store.set_fault(fault);
        let start = Instant::now();
        tokens(&caches).await;
        assert!(
            start.elapsed() <= millis(bound + 1),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(server.counts().password_grants, 3);
        for cache in &caches {
            let error = cache.status().store_error.expect("reported");
            assert_eq!(error.kind(), TokenErrorKind::Store);
        }
        // Without the store it uses its own refresh token.
        caches[0].invalidate();
        caches[0].token().await.expect("a token");
        let counts = server.counts();
        assert_eq!((counts.password_grants, counts.refresh_grants), (3, 1));

        store.set_fault(Fault::None);
        sleep(secs(2980)).await;
        let all = tokens(&caches).await;
        sleep(secs(1)).await;
        let all_then = tokens(&caches).await;
        assert!(
            all_then.iter().all(|token| token == &all_then[0]),
            "{all:?}"
        );
        assert!(caches.iter().all(|it| it.status().store_error.is_none()));
        let counts = server.counts();
        assert_eq!(counts.token_requests, 5, "{counts:?}");
        assert_eq!(counts.refresh_token_reuses, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_returns_only_garbage_blocks_no_caller() {
    let (server, store) = (rotating_server().in_process(), FaultyStore::default());
    store.set_fault(Fault::Garbage);
    let cache = member(&server, &store);
    cache.token().await.expect("a token");
    assert_eq!(server.counts().password_grants, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_the_store_may_have_kept_is_not_used_by_its_writer() {
    let (server, store) = (rotating_server().in_process(), FaultyStore::default());
    let caches: Vec<_> = (0..2).map(|_| member(&server, &store)).collect();
    tokens(&caches).await;
    server.set_delay(secs(1));
    sleep(secs(2995)).await;
    let first = tokio::spawn({
        let cache = caches[0].clone();
        async move { cache.token().await }
    });
    sleep(millis(500)).await;
    store.set_fault(Fault::NoAnswerAfterwards);
    first.await.expect("no panic").expect("a token");
    store.set_fault(Fault::None);
    for cache in &caches {
        cache.invalidate();
        cache.token().await.expect("a token");
    }
    assert_eq!(server.counts().refresh_token_reuses, 0);
}

#[tokio::test(start_paused = true)]
async fn on_a_refused_refresh_the_store_is_read_before_anything_else_is_tried() {
    let (server, store) = (rotating_server().in_process(), FaultyStore::default());
    let cache = member(&server, &store);
    cache.token().await.expect("a token");
    server.end_sessions();
    cache.invalidate();
    store.set_fault(Fault::NewerToken);
    let token = cache.token().await.expect("a token");
    assert_eq!(token.secret(), "newer");
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.refused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn revoke_ends_the_session_of_the_fleet_and_shutdown_leaves_it() {
    let (server, store, caches) = fleet(rotating_server(), 3);
    let before = tokens(&caches).await;
    caches[0].shutdown().await.expect("shut down");
    assert_eq!(server.counts().open_sessions, 1);
    assert_eq!(call(&api(&server, &caches[1])).await.0, 200);

    caches[1].revoke().await.expect("revoked");
    assert_eq!(server.counts().open_sessions, 0);
    assert_eq!(call(&api(&server, &caches[2])).await.0, 200);
    assert_eq!(server.counts().open_sessions, 1);
    assert_ne!(tokens(&caches[1..2]).await, before[..1]);
    assert_eq!(server.counts().token_requests, 2);
    drop(store);
}

#[tokio::test(start_paused = true)]
async fn accounts_of_one_store_share_nothing() {
    let (server, store) = (
        rotating_server().user("you", "pw").in_process(),
        MemoryStore::new(),
    );
    let mut seen = Vec::new();
    for (user, account) in [("me", "a"), ("you", "b"), ("me", "c")] {
        let grant = PasswordGrant::new(server.token_url(), "api", user, "pw").expect("valid");
        let cache = TokenCache::builder(grant.transport(server.service()))
            .store(store.clone(), account)
            .build()
            .expect("valid");
        seen.push(cache.token().await.expect("a token").secret().to_owned());
    }
    assert_eq!(server.counts().token_requests, 3);
    assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
}

#[tokio::test(start_paused = true)]
async fn a_name_of_two_users_or_endpoints_shares_nothing_and_both_are_told() {
    let (server, store) = (
        rotating_server().user("you", "pw").in_process(),
        MemoryStore::new(),
    );
    let cache = |user: &str| {
        TokenCache::builder(server.grant_for(user, "pw"))
            .store(store.clone(), ACCOUNT)
            .build()
            .expect("valid")
    };
    let (mine, yours) = (cache("me"), cache("you"));
    let my_token = mine.token().await.expect("a token");
    assert_eq!(mine.status().store_warning, None);
    let your_token = yours.token().await.expect("a token");
    assert_ne!(my_token.secret(), your_token.secret());
    let warning = yours.status().store_warning.expect("told");
    let shown = warning.to_string();
    assert!(
        shown.contains("\"me\"") && shown.contains("\"you\""),
        "{shown}"
    );
    sleep(secs(2995)).await;
    for cache in [&mine, &yours] {
        cache.token().await.expect("a token");
        assert!(cache.status().store_warning.is_some());
    }
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.refresh_grants), (2, 2));

    let elsewhere = rotating_server().start().await.expect("a server");
    let grant = PasswordGrant::new(elsewhere.token_url(), "api", "me", "pw").expect("valid");
    let staging = TokenCache::builder(grant.transport(elsewhere.service()))
        .store(store, ACCOUNT)
        .build()
        .expect("valid");
    staging.token().await.expect("a token of its own");
    assert_eq!(elsewhere.counts().password_grants, 1);
    assert_eq!(elsewhere.counts().refused, 0);
    let shown = staging.status().store_warning.expect("told").to_string();
    assert!(shown.contains(elsewhere.token_url()), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn what_was_opened_without_the_store_ends_or_is_handed_over_when_it_is_back() {
    let (server, store) = (rotating_server().in_process(), FaultyStore::default());
    let caches: Vec<_> = (0..8).map(|_| member(&server, &store)).collect();
    store.set_fault(Fault::Error);
    tokens(&caches).await;
    assert_eq!(server.counts().open_sessions, 8);
    sleep(secs(100)).await;
    store.set_fault(Fault::None);
    sleep(secs(30)).await;
    let counts = server.counts();
    assert_eq!((counts.open_sessions, counts.token_requests), (1, 8));
    let tokens = tokens(&caches).await;
    assert!(tokens.iter().all(|token| token == &tokens[0]));
    // From then on they renew as one.
    sleep(secs(2900)).await;
    self::tokens(&caches).await;
    sleep(secs(10)).await;
    let counts = server.counts();
    assert_eq!((counts.refresh_grants, counts.password_grants), (1, 8));
    assert_eq!((counts.open_sessions, counts.refresh_token_reuses), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn in_a_long_pause_another_process_s_token_is_noticed() {
    let (server, store, _) = fleet(rotating_server(), 0);
    let wrong = server.grant_for("me", "wrong");
    let wrong = TokenCache::builder(wrong).store(store.clone(), ACCOUNT);
    let wrong = wrong.build().expect("valid");
    wrong.token().await.expect_err("refused");
    sleep(secs(20)).await;
    let right = member(&server, &store);
    let token = right.token().await.expect("a token");
    sleep(secs(4)).await;
    assert_eq!(
        wrong.token().await.expect("a token").secret(),
        token.secret()
    );
    assert_eq!(server.counts().token_requests, 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_store_runs_late_leaves_no_lease_and_keeps_the_refresh_token() {
    let (server, store) = (rotating_server().in_process(), FaultyStore::default());
    let caches: Vec<_> = (0..2).map(|_| member(&server, &store)).collect();
    tokens(&caches).await;
    sleep(secs(2995)).await;
    // Takes the lease, but the answer is lost.
    store.set_fault(Fault::NoAnswerAfterwards);
    caches[0].token().await.expect("a token");
    store.set_fault(Fault::None);
    let start = Instant::now();
    sleep(secs(2)).await;
    caches[1].token().await.expect("a token");
    assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
    assert_eq!(server.counts().refresh_token_reuses, 0);
}
