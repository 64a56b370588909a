//! Refusals outlive accounts: a server's count of attempts is what matters.

use std::sync::Arc;
use std::sync::Mutex;

use tokio::time::sleep;

use tower_bearer::grant::{JwtBearerGrant, SecretFile};
use tower_bearer::store::MemoryStore;
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{AccessToken, Accounts, BoxError, BoxTokenSource, TokenError, TokenErrorKind};

use crate::common::{Count, millis, secs};
use crate::tenants::{Tenant, tenant};

const HOUR: u64 = 3600;

/// A server that knows these tenants by other passwords than the accounts have.
fn wrong(tenants: usize) -> Arc<TokenServer> {
    let add = |builder: tower_bearer::testing::TokenServerBuilder, n| {
        builder.user(tenant(n).0, "another password")
    };
    Arc::new((0..tenants).fold(TokenServer::builder(), add).in_process())
}

async fn refused(accounts: &Accounts<Tenant>, n: usize) {
    let tokens = accounts.get_or_create(&tenant(n)).expect("an account");
    let error = tokens.token().await.expect_err("a wrong password");
    assert_eq!(error.kind(), TokenErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn tenants_that_evict_each_other_are_tried_as_often_as_one_cache_is() {
    let server = wrong(101);
    let accounts = crate::tenants::builder(&server).capacity(100);
    let accounts = accounts.build().expect("settings");
    for _ in 0..12 * 60 / 5 {
        for n in 0..101 {
            refused(&accounts, n).await;
        }
        sleep(secs(300)).await;
    }
    let counts = server.counts();
    assert!(
        counts.token_requests <= 5 * 101,
        "{}",
        counts.token_requests
    );
    assert!(
        counts.token_requests >= 4 * 101,
        "{}",
        counts.token_requests
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_account_that_comes_back_is_tried_seven_times_a_day() {
    let server = wrong(1);
    let accounts = crate::tenants::builder(&server).idle_timeout(secs(60));
    let accounts = accounts.build().expect("settings");
    for _ in 0..24 * HOUR / 70 {
        refused(&accounts, 0).await;
        sleep(secs(70)).await;
        assert!(accounts.is_empty(), "it was evicted");
    }
    let tried = server.token_requests();
    assert!((5..=7).contains(&tried), "{tried}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_removed_again_and_again_is_tried_seven_times_a_day() {
    let server = wrong(1);
    let accounts = crate::tenants::accounts(&server);
    for _ in 0..24 * 60 {
        refused(&accounts, 0).await;
        accounts.remove(&tenant(0)).expect("there");
        sleep(secs(60)).await;
    }
    let tried = server.token_requests();
    assert!((5..=7).contains(&tried), "{tried}");
}

#[tokio::test(start_paused = true)]
async fn sources_that_are_closures_are_remembered_by_their_key() {
    let tries = Count::default();
    let count = tries.clone();
    let accounts = Accounts::new(move |key: Tenant| {
        let count = count.clone();
        async move {
            let is_bad = key == tenant(0);
            Ok::<_, BoxError>(move || {
                let count = count.clone();
                async move {
                    if is_bad {
                        count.up();
                        return Err(TokenError::new(TokenErrorKind::Refused, "no"));
                    }
                    AccessToken::new("t")
                }
            })
        }
    });
    for _ in 0..24 * 60 {
        refused(&accounts, 0).await;
        accounts.remove(&tenant(0)).expect("there");
        // Its hash is the same.
        let other = accounts.get_or_create(&tenant(1)).expect("an account");
        other.token().await.expect("a token");
        accounts.remove(&tenant(1)).expect("there");
        sleep(secs(60)).await;
    }
    let tried = tries.get();
    assert!((5..=7).contains(&tried), "{tried}");
}

#[tokio::test(start_paused = true)]
async fn processes_with_one_store_try_sources_that_are_closures_as_often_as_one_does() {
    let (tries, store) = (Count::default(), MemoryStore::new());
    let process = || {
        let (count, store) = (tries.clone(), store.clone());
        let make = move |_: Tenant| {
            let count = count.clone();
            let source = move || {
                count.up();
                async { Err::<AccessToken, _>(TokenError::new(TokenErrorKind::Refused, "no")) }
            };
            async { Ok::<_, BoxError>(source) }
        };
        let accounts = Accounts::builder(make)
            .settings_for(move |Tenant(name), cache| cache.store(store.clone(), name.as_str()));
        accounts.build().expect("settings")
    };
    let processes: Vec<_> = (0..4).map(|_| process()).collect();
    for _ in 0..12 * 60 {
        for accounts in &processes {
            refused(accounts, 0).await;
        }
        sleep(secs(60)).await;
    }
    let tried = tries.get();
    assert!((4..=5).contains(&tried), "{tried}");
}

#[tokio::test(start_paused = true)]
async fn new_credentials_of_a_refused_key_log_in_at_once() {
    let server = TokenServer::builder().user("t0", "right").in_process();
    let server = Arc::new(server);
    let password = Arc::new(Mutex::new("wrong"));
    let (grants, current) = (server.clone(), password.clone());
    let accounts = Accounts::new(move |Tenant(name): Tenant| {
        let password = *current.lock().expect("no panic");
        let grant = grants.grant_for(name, password);
        async { Ok::<_, BoxError>(grant) }
    });
    for _ in 0..10 {
        refused(&accounts, 0).await;
        accounts.remove(&tenant(0)).expect("there");
        sleep(millis(100)).await;
    }
    assert_eq!(server.token_requests(), 1);
    *password.lock().expect("no panic") = "right";
    let tokens = accounts.get_or_create(&tenant(0)).expect("an account");
    tokens.token().await.expect("a token");
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_password_in_the_file_of_a_refused_key_logs_in_at_once() {
    let server = TokenServer::builder().user("t0", "right").in_process();
    let server = Arc::new(server);
    let name = format!("tower-bearer-account-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let (grants, file) = (server.clone(), SecretFile::new(&path));
    let accounts = Accounts::new(move |Tenant(name): Tenant| {
        let grant = grants.grant_for(name, file.clone());
        async { Ok::<_, BoxError>(grant) }
    });
    std::fs::write(&path, "wrong").expect("written");
    for _ in 0..2 {
        refused(&accounts, 0).await;
        accounts.remove(&tenant(0)).expect("there");
    }
    assert_eq!(server.token_requests(), 1);
    std::fs::write(&path, "right\n").expect("written");
    let tokens = accounts.get_or_create(&tenant(0)).expect("an account");
    tokens.token().await.expect("a token");
    assert_eq!(server.token_requests(), 2);
    std::fs::remove_file(&path).expect("removed");
}

#[tokio::test(start_paused = true)]
async fn a_reset_reaches_a_refusal_from_before_an_eviction() {
    let server = TokenServer::builder().user("t0", "secret of t0");
    let server = Arc::new(server.in_process());
    server.disable_user("t0");
    let accounts = crate::tenants::accounts(&server);
    refused(&accounts, 0).await;
    accounts.remove(&tenant(0)).expect("there");
    server.enable_user("t0");
    refused(&accounts, 0).await;
    accounts.remove(&tenant(0)).expect("there");
    assert_eq!(server.token_requests(), 1);
    let tokens = accounts.get_or_create(&tenant(0)).expect("an account");
    tokens.reset();
    tokens.token().await.expect("a token");
    assert_eq!(server.token_requests(), 2);
}

/// Nothing distinguishes the sources but the key, and no answer has come yet when the
/// next one is made.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_removed_while_its_closure_is_called_is_tried_as_often_as_one_cache_is() {
    for takes in [secs(2), secs(9)] {
        let tries = Count::default();
        let count = tries.clone();
        let accounts = Accounts::new(move |_: Tenant| {
            let count = count.clone();
            let source = move || {
                count.up();
                async move {
                    sleep(takes).await;
                    Err::<AccessToken, _>(TokenError::new(TokenErrorKind::Refused, "no"))
                }
            };
            async { Ok::<_, BoxError>(source) }
        });
        for _ in 0..12 * HOUR {
            let tokens = accounts.get_or_create(&tenant(0)).expect("an account");
            assert!(tokens.ready().is_err());
            accounts.remove(&tenant(0)).expect("there");
            sleep(secs(1)).await;
        }
        let tried = tries.get();
        assert!((4..=5).contains(&tried), "{tried} with {takes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_is_called_at_once_for_a_key_whose_password_was_refused() {
    let server = wrong(1);
    let made = Count::default();
    let accounts = Accounts::new(move |Tenant(name)| {
        let (server, n) = (server.clone(), made.up());
        async move {
            Ok::<_, BoxError>(match n {
                1 => BoxTokenSource::new(server.grant_for(name, "wrong")),
                _ => BoxTokenSource::new(|| async { AccessToken::new("t") }),
            })
        }
    });
    refused(&accounts, 0).await;
    accounts.remove(&tenant(0)).expect("there");
    let tokens = accounts.get_or_create(&tenant(0)).expect("an account");
    tokens.token().await.expect("a token");
}

#[tokio::test(start_paused = true)]
async fn a_tenants_refused_assertion_holds_up_no_other_tenant() {
    let server = Arc::new(TokenServer::builder().in_process());
    let refusal = MockResponse::error(400, "invalid_grant");
    server.token_endpoint().set_default(refusal);
    let made = server.clone();
    let accounts = Accounts::new(move |_: Tenant| {
        let service = made.service();
        async move {
            let assertion = || async { Ok::<_, TokenError>(String::from("assertion")) };
            let grant = JwtBearerGrant::new("https://tenants.localhost/token", assertion)?;
            Ok::<_, BoxError>(grant.transport(service))
        }
    });
    for _ in 0..2 {
        refused(&accounts, 0).await;
        accounts.remove(&tenant(0)).expect("there");
    }
    assert_eq!(server.token_requests(), 1);
    let token = r#"{"access_token":"t","token_type":"bearer"}"#;
    let token = MockResponse::body(200, "application/json", token);
    server.token_endpoint().set_default(token);
    let other = accounts.get_or_create(&tenant(1)).expect("an account");
    other.token().await.expect("a token");
}
