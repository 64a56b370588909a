//! Five processes with one store. Each process here is an access's cache and the
//! accounts of its users.

use std::sync::Arc;

use tokio::time::sleep;
use tower_bearer::store::MemoryStore;
use tower_bearer::testing::TokenServer;
use tower_bearer::{Accounts, TokenCache};

use crate::common::{millis, secs};
use crate::world::{ACCESS, company, login, tokens, users};

const PROCESSES: usize = 5;
const USERS: usize = 40;

fn process(server: &Arc<TokenServer>, store: &MemoryStore) -> Accounts<String> {
    let access =
        TokenCache::builder(server.grant_for(ACCESS, "secret")).store(store.clone(), ACCESS);
    let access = access.build().expect("settings");
    let store = store.clone();
    users(server, &access)
        .settings_for(move |login, cache| cache.store(store.clone(), format!("user {login}")))
        .build()
        .expect("settings")
}

async fn everybodys_token(processes: &[Accounts<String>]) -> Vec<Vec<String>> {
    let callers = (0..PROCESSES * USERS).map(|n| {
        let tokens = tokens(&processes[n % PROCESSES], n / PROCESSES);
        tokio::spawn(async move { tokens.token().await })
    });
    let mut all = vec![Vec::new(); USERS];
    for (n, caller) in callers.collect::<Vec<_>>().into_iter().enumerate() {
        let token = caller.await.expect("no panic").expect("a token");
        all[n / PROCESSES].push(token.secret().to_owned());
    }
    all
}

fn assert_shared(tokens: &[Vec<String>]) {
    for (user, tokens) in tokens.iter().enumerate() {
        assert!(tokens.iter().all(|it| *it == tokens[0]), "{}", login(user));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_of_five_makes_one_login_and_one_exchange_for_each_user() {
    let server = company(USERS, TokenServer::builder().delay(millis(20)));
    let store = MemoryStore::new();
    let processes: Vec<_> = (0..PROCESSES).map(|_| process(&server, &store)).collect();
    assert_shared(&everybodys_token(&processes).await);
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.token_requests), (1, 1));
    assert_eq!((counts.exchanges, counts.exchange_requests), (40, 40));

    // A process that comes later, and all of them once the tokens have ended.
    let later = process(&server, &store);
    tokens(&later, 7).token().await.expect("a token");
    assert_eq!(server.counts().exchange_requests, 40);
    sleep(secs(3000)).await;
    assert_shared(&everybodys_token(&processes).await);
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.exchanges), (1, 40));
    assert_eq!(counts.refresh_grants, 40, "one for each user");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_user_is_made_once_for_the_fleet_and_keeps_no_other_user_waiting() {
    let server = company(USERS, TokenServer::builder());
    server.disable_user(&login(3));
    let store = MemoryStore::new();
    let processes: Vec<_> = (0..PROCESSES).map(|_| process(&server, &store)).collect();
    for process in &processes {
        let error = tokens(process, 3).token().await.expect_err("disabled");
        assert_eq!(error.status().map(|it| it.as_u16()), Some(404), "{error}");
        tokens(process, 4).token().await.expect("another user");
    }
    let counts = server.counts();
    assert_eq!((counts.exchange_requests, counts.exchanges), (2, 1));
}
