//! Capacity: accounts that work and are in use stay, whatever other keys come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt};

use tower_bearer::testing::TokenServer;
use tower_bearer::{AccessToken, Accounts, BoxError, RefreshToken, TokenResponse, TokenSource};
use tower_bearer::{TokenError, TokenErrorKind};

use crate::common::{Count, millis, parked, secs, token};
use crate::tenants::{builder, call, client, of, served, tenant};

#[tokio::test(start_paused = true)]
async fn more_busy_tenants_than_the_capacity_have_one_fetch_at_a_time_for_a_key() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (running.clone(), most.clone());
    let accounts = Accounts::builder(move |key: usize| {
        let (running, most) = counted.clone();
        async move {
            Ok::<_, BoxError>(move || {
                let (running, most) = (running.clone(), most.clone());
                async move {
                    if key == 0 {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                    }
                    sleep(millis(500)).await;
                    if key == 0 {
                        running.fetch_sub(1, Ordering::SeqCst);
                    }
                    token("t", 3000)
                }
            })
        }
    });
    let accounts = accounts.capacity(10).build().expect("settings");
    for round in 0..200 {
        for key in 0..11 {
            let tokens = accounts
                .get_or_create(&((key + round) % 11))
                .expect("an account");
            tokio::spawn(async move { tokens.token().await });
        }
        sleep(millis(50)).await;
        assert!(accounts.len() <= 11 + 1, "{}", accounts.len());
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
    sleep(secs(3)).await;
    assert!(accounts.len() <= 10, "{}", accounts.len());
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_evict_no_account_that_works() {
    const BUSY: usize = 50;
    let server = served(BUSY, TokenServer::builder());
    let accounts = builder(&server).capacity(BUSY).build().expect("settings");
    let client = client(&server, &accounts);
    for n in 0..500 {
        call(&client, &tenant(n % BUSY)).await.expect("an answer");
        let error = call(&client, &tenant(1000 + n)).await.expect_err("unknown");
        let error = TokenError::find(&error).expect("a token error").kind();
        assert_eq!(error, TokenErrorKind::Refused);
        assert!(accounts.len() <= BUSY + BUSY / 8);
    }
    assert_eq!(server.counts().open_sessions, 50);
    assert_eq!(server.token_requests(), 50 + 500, "one login for each");
}

/// Each use is a request, through one service for all or one for each account.
async fn constant_use(valid: bool, kept: bool) -> usize {
    const USED: usize = 64;
    let logins = Count::default();
    let count = logins.clone();
    let accounts = Accounts::builder(move |key: usize| {
        let count = count.clone();
        async move {
            Ok::<_, BoxError>(move || {
                let count = count.clone();
                async move {
                    if key < USED {
                        count.up();
                    } else if !valid {
                        return Err(TokenError::new(TokenErrorKind::Refused, "unknown"));
                    }
                    token("t", 100_000)
                }
            })
        }
    });
    let accounts = accounts.capacity(2000).build().expect("settings");
    let origins = tower_bearer::Origins::only(["http://localhost"]).expect("valid");
    let layer = tower_bearer::AccountsLayer::new(accounts.clone(), origins);
    let layer = layer.account_by(|request| {
        let key = request.headers().get("x-key")?.to_str().ok()?;
        key.parse::<usize>().ok()
    });
    let api = tower::service_fn(|_: http::Request<crate::common::Body>| async {
        Ok::<_, std::io::Error>(http::Response::new(crate::common::Body::default()))
    });
    let service = tower::Layer::layer(&layer, api);
    let request = |key: usize| {
        let mut request = crate::common::get("http://localhost/");
        let key = key.to_string().parse().expect("a value");
        request.headers_mut().insert("x-key", key);
        request
    };
    let mut services: Vec<_> = (0..USED).map(|_| service.clone()).collect();
    let mut new = 1000;
    // Two seconds, with 2500 new keys in each.
    for step in 0..200 {
        for (key, service) in services.iter_mut().enumerate() {
            // Ten times a second.
            if step % 10 == key % 10 {
                let mut fresh = service.clone();
                let service = if kept { service } else { &mut fresh };
                let ready = service.ready().await.expect("ready");
                ready.call(request(key)).await.expect("an answer");
            }
        }
        for _ in 0..25 {
            new += 1;
            let _ = service.clone().oneshot(request(new)).await;
        }
        sleep(millis(10)).await;
    }
    assert!(accounts.len() <= 2000 + 2000 / 8, "{}", accounts.len());
    logins.get()
}

#[tokio::test(start_paused = true)]
async fn many_new_keys_a_second_evict_none_in_constant_use() {
    for (valid, kept) in [(true, true), (true, false), (false, true)] {
        let logins = constant_use(valid, kept).await;
        assert_eq!(logins, 64, "valid: {valid}, kept: {kept}");
    }
}

/// Counts the sources that are there, and the sessions that were ended.
struct Counted {
    there: Arc<AtomicUsize>,
    ended: Count,
    takes: std::time::Duration,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.there.fetch_sub(1, Ordering::SeqCst);
    }
}

impl TokenSource for Counted {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        let refresh = RefreshToken::new("r")?;
        Ok(TokenResponse::new(token("t", 3000)?).with_refresh_token(refresh))
    }

    async fn revoke(
        &self,
        _: Option<&AccessToken>,
        _: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        sleep(self.takes).await;
        self.ended.up();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn accounts_on_their_way_out_are_bounded_by_the_capacity() {
    // An endpoint that works, and one that hangs.
    for (takes, tenants) in [(millis(1), 50_000), (secs(1 << 20), 5_000)] {
        let (there, ended) = (Arc::new(AtomicUsize::new(0)), Count::default());
        let counted = (there.clone(), ended.clone());
        let accounts = Accounts::builder(move |_: usize| {
            let (there, ended) = counted.clone();
            there.fetch_add(1, Ordering::SeqCst);
            let source = Counted {
                there,
                ended,
                takes,
            };
            async { Ok::<_, BoxError>(source) }
        });
        let accounts = accounts.capacity(50).revoke_evicted(secs(600));
        let accounts = accounts.build().expect("settings");
        let mut most = 0;
        for key in 0..tenants {
            let tokens = accounts.get_or_create(&key).expect("an account");
            tokens.token().await.expect("a token");
            most = most.max(there.load(Ordering::SeqCst));
            if key % 50 == 0 {
                sleep(millis(10)).await;
            }
        }
        // Accounts, those that wait for their end, and those being ended.
        assert!(most <= 50 + 6 + 2 * 50 + 64, "{most} sources at once");
        if takes < secs(1) {
            assert!(ended.get() >= tenants - 150, "{}", ended.get());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_in_use_through_a_handle_only_keeps_its_session() {
    let server = served(2, TokenServer::builder());
    let accounts = builder(&server).idle_timeout(secs(60));
    let accounts = accounts
        .capacity(1)
        .revoke_evicted(secs(0))
        .build()
        .expect("settings");
    let handle = accounts.get_or_create(&tenant(0)).expect("an account");
    for _ in 0..60 {
        handle.token().await.expect("a token");
        sleep(secs(20)).await;
    }
    call(&client(&server, &accounts), &tenant(1))
        .await
        .expect("an answer");
    sleep(secs(5)).await;
    let counts = server.counts();
    // The other one made room.
    assert_eq!((counts.password_grants, counts.open_sessions), (2, 1));
    assert!(accounts.get(&tenant(0)).is_some());
    handle.token().await.expect("a token");
    assert_eq!(server.counts().password_grants, 2);
    // Without a handle it is as any other.
    drop(handle);
    sleep(secs(65)).await;
    assert!(accounts.is_empty());
    assert_eq!(server.counts().open_sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_with_a_fetch_or_a_waiter_is_not_evicted() {
    let server = served(3, TokenServer::builder().delay(secs(10)));
    let accounts = builder(&server).capacity(1).idle_timeout(secs(2));
    let accounts = accounts.build().expect("settings");
    let client = client(&server, &accounts);
    let start = Instant::now();
    let waiters = [
        parked(client.clone().oneshot(of(&tenant(0)))).await,
        parked(client.clone().oneshot(of(&tenant(1)))).await,
        parked(client.clone().oneshot(of(&tenant(0)))).await,
    ];
    sleep(secs(5)).await;
    assert_eq!(accounts.len(), 2);
    for waiter in waiters {
        waiter.await.expect("an answer");
    }
    assert_eq!(start.elapsed(), secs(10));
    assert_eq!(server.token_requests(), 2);
    sleep(secs(5)).await;
    assert!(accounts.is_empty());
}
