//! Failures in a fleet: kept for each set of credentials, and counted across all
//! processes.
//!
//! Each process here has a grant with its own parameter, so that it shares no memory
//! with the others, and a store that treats the credentials as the same.

#![cfg(feature = "testing")]

mod common;

use std::sync::{Arc, Mutex};

use http::StatusCode;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use common::secs;
use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, JwtBearerGrant};
use tower_bearer::store::{
    Account, Acquire, Acquired, Completion, FAILURE_MEMORY, MemoryStore, TokenStore,
};
use tower_bearer::testing::{MockResponse, TokenServer, TokenService};
use tower_bearer::{BoxError, BoxTokenSource, PasswordGrant, TokenCache, TokenErrorKind};

const ACCOUNT: &str = "me";

/// The store as a process with these credentials sees it, whatever its own
/// fingerprint of them is.
#[derive(Clone)]
struct SeenBy {
    store: MemoryStore,
    credentials: u64,
}

impl TokenStore for SeenBy {
    async fn acquire(&self, account: &Account, acquire: &Acquire) -> Result<Acquired, BoxError> {
        let mut acquire = *acquire;
        if acquire.credentials != 0 {
            acquire.credentials = self.credentials;
        }
        self.store.acquire(account, &acquire).await
    }

    async fn complete(&self, account: &Account, completion: &Completion) -> Result<bool, BoxError> {
        let mut completion = completion.clone();
        if completion.credentials != 0 {
            completion.credentials = self.credentials;
        }
        self.store.complete(account, &completion).await
    }

    async fn withdraw(&self, account: &Account, nonce: u64) -> Result<(), BoxError> {
        self.store.withdraw(account, nonce).await
    }

    fn changes(&self, account: &Account) -> watch::Receiver<()> {
        self.store.changes(account)
    }
}

fn fingerprint(password: &str) -> u64 {
    password.bytes().map(u64::from).sum()
}

/// A fleet of processes with one account.
struct Fleet {
    server: TokenServer,
    store: MemoryStore,
    started: u64,
}

impl Fleet {
    fn new() -> Self {
        let server = TokenServer::builder().user("me", "pw");
        Self {
            server: server.in_process(),
            store: MemoryStore::new(),
            started: 0,
        }
    }

    /// A new process's grant, and one more that is the same.
    fn grants(&mut self, password: &str) -> [PasswordGrant<TokenService>; 2] {
        self.started += 1;
        let process = self.started.to_string();
        [(), ()].map(|()| {
            let grant = self.server.grant_for("me", password);
            grant
                .param("process", process.clone())
                .expect("a parameter")
        })
    }

    fn cache(&self, grant: PasswordGrant<TokenService>, password: &str) -> TokenCache {
        let store = SeenBy {
            store: self.store.clone(),
            credentials: fingerprint(password),
        };
        let cache = TokenCache::builder(grant).store(store, ACCOUNT);
        cache.build().expect("valid")
    }

    /// Starts a process with this password.
    fn start(&mut self, password: &str) -> TokenCache {
        let [grant, _] = self.grants(password);
        self.cache(grant, password)
    }

    fn attempts(&self) -> u64 {
        self.server.counts().token_requests
    }
}

async fn fails(cache: &TokenCache) -> Duration {
    let error = cache.token().await.expect_err("a failure");
    error.retry_after().expect("a time")
}

fn within_a_quarter(pause: Duration, step: Duration) {
    assert!(
        pause >= step && pause <= step * 5 / 4,
        "{step:?}: {pause:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_wrong_password_is_tried_once_in_a_minute_and_three_times_in_an_hour() {
    let mut fleet = Fleet::new();
    let passwords = ["wrong 1", "wrong 2", "wrong 3"];
    let processes: Vec<_> = (0..100).map(|n| fleet.start(passwords[n % 3])).collect();
    for second in 0..3600 {
        for process in &processes {
            process.token().await.expect_err("refused");
        }
        if second == 59 {
            assert_eq!(fleet.attempts(), 3, "one for each password");
        }
        sleep(secs(1)).await;
    }
    assert_eq!(fleet.attempts(), 9, "three for each password");

    // Another password is tried at once, and the token ends no other's refusal.
    let right = fleet.start("pw");
    right.token().await.expect("a token");
    assert_eq!(fleet.attempts(), 10);
    right.revoke().await.expect("revoked");
    for password in passwords {
        fleet.start(password).token().await.expect_err("refused");
    }
    assert_eq!(fleet.attempts(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_processes_that_start_at_once_try_each_wrong_password_once() {
    let mut fleet = Fleet::new();
    fleet.server.set_delay(secs(1));
    let passwords = ["wrong 1", "wrong 2", "wrong 3"];
    let processes = (0..100).map(|n| fleet.start(passwords[n % 3]));
    let callers: Vec<_> = processes
        .map(|process| tokio::spawn(async move { process.token().await.map(drop) }))
        .collect();
    for caller in callers {
        let error = caller.await.expect("no panic").expect_err("refused");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
    }
    assert_eq!(fleet.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_a_refusal_is_the_next_step_whichever_process_meets_it() {
    let mut fleet = Fleet::new();
    for (attempts, step) in (1..).zip([60, 600, 3600, 6 * 3600, 6 * 3600]) {
        let pause = fails(&fleet.start("wrong")).await;
        within_a_quarter(pause, secs(step));
        let heard = fails(&fleet.start("wrong")).await;
        assert_eq!((heard, fleet.attempts()), (pause, attempts));
        sleep(pause).await;
    }
    // Forgotten a day after the last pause.
    sleep(FAILURE_MEMORY).await;
    within_a_quarter(fails(&fleet.start("wrong")).await, secs(60));
    assert_eq!(fleet.attempts(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_process_goes_on_from_what_it_heard_when_the_store_is_lost() {
    let mut fleet = Fleet::new();
    let pause = fails(&fleet.start("wrong")).await;
    let [first, second] = fleet.grants("wrong");
    assert_eq!(fails(&fleet.cache(first, "wrong")).await, pause);
    fleet.store = MemoryStore::new();
    sleep(pause).await;
    // It made no attempt itself.
    within_a_quarter(fails(&fleet.cache(second, "wrong")).await, secs(600));
}

#[tokio::test(start_paused = true)]
async fn what_a_process_hears_from_the_store_holds_for_all_of_its_caches() {
    let mut fleet = Fleet::new();
    let pause = fails(&fleet.start("wrong")).await;
    let [first, second] = fleet.grants("wrong");
    let sharing = fleet.cache(first, "wrong");
    assert_eq!(fails(&sharing).await, pause);
    // Without the store, and after the cache that heard of it is gone.
    drop(sharing);
    let alone = TokenCache::new(second);
    assert_eq!(fails(&alone).await, pause);
    sleep(pause).await;
    within_a_quarter(fails(&alone).await, secs(600));
    assert_eq!(fleet.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_knows_of_a_failure_tells_a_store_that_does_not() {
    let mut fleet = Fleet::new();
    let [first, second] = fleet.grants("wrong");
    let pause = fails(&TokenCache::new(first)).await;
    assert_eq!(fails(&fleet.cache(second, "wrong")).await, pause);
    assert_eq!(fails(&fleet.start("wrong")).await, pause);
    assert_eq!(fleet.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_no_refusal_in_words_count_in_the_fleet_too() {
    for (answer, kind) in [
        (
            MockResponse::body(200, "application/json", r#"{"code":10003}"#),
            TokenErrorKind::InvalidResponse,
        ),
        (
            MockResponse::redirect(302, "/login"),
            TokenErrorKind::UnexpectedRedirect,
        ),
    ] {
        let mut fleet = Fleet::new();
        fleet.server.token_endpoint().set_default(answer);
        for step in [60, 600] {
            let pause = fails(&fleet.start("wrong")).await;
            within_a_quarter(pause, secs(step));
            let heard = fleet.start("wrong").token().await.expect_err("refused");
            assert_eq!((heard.kind(), heard.retry_after()), (kind, Some(pause)));
            sleep(pause).await;
        }
        assert_eq!(fleet.attempts(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_broken_is_asked_by_the_fleet_as_by_one_process() {
    let mut fleet = Fleet::new();
    let broken = MockResponse::status(StatusCode::INTERNAL_SERVER_ERROR);
    fleet.server.token_endpoint().set_default(broken);
    let processes: Vec<_> = (0..20).map(|_| fleet.start("pw")).collect();
    let mut last = None;
    let start = Instant::now();
    while start.elapsed() < secs(600) {
        let before = fleet.attempts();
        for process in &processes {
            process.token().await.expect_err("broken");
        }
        if fleet.attempts() > before {
            assert_eq!(fleet.attempts(), before + 1);
            let pause = last.replace(Instant::now()).map(|it: Instant| it.elapsed());
            assert!(pause.is_none_or(|it| it >= secs(5)), "{pause:?}");
        }
        sleep(secs(1)).await;
    }
    // After 5, 10, 20, 40, 80 and 160 s, each with up to a quarter more.
    assert!(fleet.attempts() <= 7, "{}", fleet.attempts());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_not_of_the_credentials_is_counted_once_however_many_hear_of_it() {
    let mut fleet = Fleet::new();
    let refused = MockResponse::error(400, "invalid_scope");
    fleet.server.token_endpoint().set_default(refused);
    let processes: Vec<_> = (0..3).map(|_| fleet.start("pw")).collect();
    for (n, step) in [60, 600, 3600].into_iter().enumerate() {
        let pause = fails(&processes[n]).await;
        within_a_quarter(pause, secs(step));
        for process in &processes {
            assert_eq!(fails(process).await, pause);
        }
        sleep(pause).await;
    }
    assert_eq!(fleet.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_says_nothing_of_the_credentials_whether_it_works_or_not() {
    for works in [true, false] {
        let mut fleet = Fleet::new();
        sleep(fails(&fleet.start("wrong")).await).await;
        let right = fleet.start("pw");
        right.token().await.expect("a token");
        sleep(secs(2995)).await;
        // A process with the wrong password gets the refresh token of the other.
        if works {
            fleet.start("wrong").token().await.expect("a token");
        } else {
            let away = MockResponse::status(429).retry_after("5");
            fleet.server.token_endpoint().enqueue([away]);
            let pause = fails(&fleet.start("wrong")).await;
            assert_eq!(pause, secs(5));
            sleep(pause).await;
        }
        let counts = fleet.server.counts();
        assert_eq!((counts.password_grants, counts.token_requests), (1, 3));
        right.revoke().await.expect("revoked");
        let pause = fails(&fleet.start("wrong")).await;
        within_a_quarter(pause, secs(600));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_starts_again_from_the_first_step() {
    let mut fleet = Fleet::new();
    for _ in 0..2 {
        sleep(fails(&fleet.start("wrong")).await).await;
    }
    let process = fleet.start("wrong");
    within_a_quarter(fails(&process).await, secs(3600));
    process.reset();
    within_a_quarter(fails(&process).await, secs(60));
    assert_eq!(fleet.attempts(), 4);
    // Ignored once.
    fails(&process).await;
    fails(&fleet.start("wrong")).await;
    assert_eq!(fleet.attempts(), 4);
}

#[cfg(feature = "accounts")]
mod accounts {
    use tower_bearer::TokenCacheBuilder;
    use tower_bearer::accounts::Accounts;

    use super::*;

    type Password = Arc<Mutex<Result<&'static str, &'static str>>>;

    /// The accounts of a process, whose passwords come from a place that can be
    /// changed.
    fn accounts(
        (process, server): (&'static str, &Arc<TokenServer>),
        store: &MemoryStore,
        password: &Password,
    ) -> Accounts<String> {
        let (server, passwords) = (server.clone(), password.clone());
        let make = move |key: String| {
            let password = *passwords.lock().expect("no panic");
            let server = server.clone();
            async move {
                let grant = server.grant_for(key, password?);
                Ok::<_, BoxError>(grant.param("process", process)?)
            }
        };
        let (store, passwords) = (store.clone(), password.clone());
        let settings = move |key: &String, cache: TokenCacheBuilder| {
            let password = *passwords.lock().expect("no panic");
            let store = SeenBy {
                store: store.clone(),
                credentials: fingerprint(password.unwrap_or_default()),
            };
            cache.store(store, key.clone())
        };
        let accounts = Accounts::builder(make).settings_for(settings);
        accounts.build().expect("settings")
    }

    #[tokio::test(start_paused = true)]
    async fn new_credentials_after_a_refusal_of_old_ones_log_in_at_once() {
        let server = TokenServer::builder().user("me", "pw").in_process();
        let (server, store, key) = (Arc::new(server), MemoryStore::new(), "me".to_owned());
        let password = Password::new(Mutex::new(Ok("old")));
        let mine = accounts(("one", &server), &store, &password);
        let tokens = mine.get_or_create(&key).expect("an account");
        tokens.token().await.expect_err("refused");
        mine.remove(&key);
        // The same ones wait, in another process too.
        for accounts in [&mine, &accounts(("other", &server), &store, &password)] {
            let tokens = accounts.get_or_create(&key).expect("an account");
            let error = tokens.token().await.expect_err("refused");
            assert_eq!(error.kind(), TokenErrorKind::Refused);
        }
        assert_eq!(server.counts().token_requests, 1);

        *password.lock().expect("no panic") = Ok("pw");
        mine.remove(&key);
        let start = Instant::now();
        let tokens = mine.get_or_create(&key).expect("an account");
        tokens.token().await.expect("a token");
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(server.counts().token_requests, 2);
    }

    /// Whose tokens they are it knows from the source that it had.
    #[tokio::test(start_paused = true)]
    async fn an_account_whose_source_cannot_be_made_again_uses_the_token_of_the_fleet() {
        let server = TokenServer::builder().user("me", "pw").in_process();
        let (server, store, key) = (Arc::new(server), MemoryStore::new(), "me".to_owned());
        let password = Password::new(Mutex::new(Ok("old")));
        let mine = accounts(("one", &server), &store, &password);
        let tokens = mine.get_or_create(&key).expect("an account");
        tokens.token().await.expect_err("refused");
        *password.lock().expect("no panic") = Err("no vault");

        let good = Password::new(Mutex::new(Ok("pw")));
        let other = accounts(("other", &server), &store, &good);
        let token = other.get_or_create(&key).expect("an account").token().await;
        let token = token.expect("a token");
        sleep(secs(120)).await;
        assert_eq!(
            tokens.token().await.expect("a token").secret(),
            token.secret()
        );
        assert_eq!(server.counts().token_requests, 2);
    }

    /// The holder of its tokens is unknown.
    #[tokio::test(start_paused = true)]
    async fn an_account_whose_source_was_never_made_gets_no_token_of_the_fleet() {
        let server = TokenServer::builder().user("me", "pw").in_process();
        let (server, store, key) = (Arc::new(server), MemoryStore::new(), "me".to_owned());
        let good = Password::new(Mutex::new(Ok("pw")));
        let other = accounts(("other", &server), &store, &good);
        let token = other.get_or_create(&key).expect("an account").token().await;
        token.expect("a token");
        let password = Password::new(Mutex::new(Err("no vault")));
        let mine = accounts(("one", &server), &store, &password);
        let error = mine.get_or_create(&key).expect("an account").token().await;
        assert_eq!(error.expect_err("none").kind(), TokenErrorKind::Source);
    }
}

/// What the transport or a closure has is unknown in advance, so each process has its
/// own memory of it; the store's is for all of them.
#[tokio::test(start_paused = true)]
async fn a_fleet_tries_a_client_whose_secret_is_unknown_as_often_as_one_process_does() {
    const URL: &str = "https://unknown-secret.localhost/token";
    type Make = fn(TokenService) -> BoxTokenSource;
    let cases: [(&str, Make); 2] = [
        ("a certificate", |service| {
            let grant = ClientCredentialsGrant::new(URL, "c").expect("valid");
            let grant = grant.client_auth(ClientAuth::tls_client_auth());
            BoxTokenSource::new(grant.transport(service))
        }),
        ("a closure's assertion", |service| {
            let assertion = || async { Ok::<_, BoxError>(String::from("assertion")) };
            let grant = JwtBearerGrant::new(URL, assertion).expect("valid");
            BoxTokenSource::new(grant.transport(service))
        }),
    ];
    for (case, make) in cases {
        let (server, store) = (TokenServer::builder().in_process(), MemoryStore::new());
        let refused = MockResponse::error(401, "invalid_client");
        server.token_endpoint().set_default(refused);
        let processes: Vec<_> = (0..10)
            .map(|_| TokenCache::builder(make(server.service())).store(store.clone(), ACCOUNT))
            .map(|cache| cache.build().expect("valid"))
            .collect();
        for _ in 0..600 {
            for process in &processes {
                fails(process).await;
            }
            sleep(secs(1)).await;
        }
        // After 5, 10, 20 s and so on, each with up to a quarter more.
        let requests = server.token_requests();
        assert!((6..=8).contains(&requests), "{case}: {requests}");
    }
}
