//! Many users of one access: one login, one exchange for each, and never the token
//! of another.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::testing::{TokenServer, TokenServerBuilder};
use tower_bearer::{
    Accounts, AccountsLayer, BoxError, BoxTokenSource, Origins, TokenCache, TokenError,
};

use crate::common::{Body, get, millis, secs};
use crate::world::{ACCESS, access, company, login, tokens, users};

const USERS: usize = 1000;

/// What happens to the token of the access.
type Loss = fn(&TokenServer);

/// Fetches the token of each user, all at once, and returns what failed.
async fn fetch_all(tokens: impl Fn(usize) -> TokenCache) -> Vec<TokenError> {
    let callers = (0..USERS).map(|number| {
        let tokens = tokens(number);
        tokio::spawn(async move { tokens.token().await })
    });
    let mut failed = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        failed.extend(caller.await.expect("no panic").err());
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_users_take_one_login_and_an_exchange_each_so_many_at_once() {
    for limit in [16, 64] {
        let server = company(USERS, TokenServer::builder().delay(millis(20)));
        let access = access(&server);
        let users = users(&server, &access).max_concurrent_fetches(limit);
        let users = users.build().expect("settings");
        let start = Instant::now();
        let failed = fetch_all(|number| tokens(&users, number)).await;
        assert!(failed.is_empty(), "{:?}", failed[0]);
        let counts = server.counts();
        assert_eq!((counts.password_grants, counts.token_requests), (1, 1));
        assert_eq!((counts.exchanges, counts.exchange_requests), (1000, 1000));
        assert_eq!(counts.max_concurrent_exchange_requests, limit as u64);
        // As fast as the limit allows.
        let rounds = USERS.div_ceil(limit) as u64 + 1;
        assert!(
            start.elapsed() < millis(20 * rounds + 100),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(users.fetches_in_progress(), 0);
    }
}

/// An access and its users in one `Accounts`, so that they share its permits.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Access,
    User(usize),
}

#[tokio::test(start_paused = true)]
async fn the_token_of_the_access_and_those_of_its_users_do_not_wait_for_each_others_permits() {
    for limit in [1, 64] {
        let server = company(USERS, TokenServer::builder().delay(millis(5)));
        let all = Arc::new(OnceLock::<Accounts<Key>>::new());
        let (made_by, outer) = (server.clone(), all.clone());
        let accounts = Accounts::builder(move |key: Key| {
            let (server, all) = (made_by.clone(), outer.clone());
            async move {
                Ok::<_, BoxError>(match key {
                    Key::Access => BoxTokenSource::new(server.grant_for(ACCESS, "secret")),
                    Key::User(number) => {
                        let access = all.get().expect("set").get_or_create(&Key::Access)?;
                        BoxTokenSource::new(server.impersonation(&access, login(number)))
                    }
                })
            }
        });
        let accounts = accounts.max_concurrent_fetches(limit).build();
        let accounts = accounts.expect("settings");
        all.set(accounts.clone()).expect("once");
        let user = |number| {
            accounts
                .get_or_create(&Key::User(number))
                .expect("an account")
        };
        let failed = fetch_all(user).await;
        assert!(failed.is_empty(), "{:?}", failed[0]);
        // Again, when the tokens of the access and of the users are all invalid.
        server.end_sessions();
        for number in 0..USERS {
            user(number).invalidate();
        }
        let failed = fetch_all(user).await;
        assert!(failed.is_empty(), "{:?}", failed[0]);
        let counts = server.counts();
        assert_eq!((counts.password_grants, counts.exchanges), (2, 2000));
        assert!(counts.max_concurrent_exchange_requests <= limit as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_of_the_access_may_rotate_and_be_lost_in_the_middle_of_a_thousand_exchanges() {
    let losses: [(&str, Loss); 3] = [
        ("revoked", TokenServer::revoke_access_tokens),
        ("all sessions ended", TokenServer::end_sessions),
        ("rotated", |_| {}),
    ];
    for (what, lose) in losses {
        let builder = TokenServer::builder().rotate_refresh_tokens(true);
        let server = company(USERS, builder.delay(millis(200)));
        let access = access(&server);
        let users = users(&server, &access).max_concurrent_fetches(64);
        let users = users.build().expect("settings");
        let (at, tokens_of) = (server.clone(), access.clone());
        let chaos = tokio::spawn(async move {
            for _ in 0..5 {
                sleep(millis(900)).await;
                lose(&at);
                tokens_of.invalidate();
            }
        });
        let failed = fetch_all(|number| tokens(&users, number)).await;
        assert!(
            failed.is_empty(),
            "{what}: {} of 1000: {:?}",
            failed.len(),
            failed[0]
        );
        chaos.await.expect("no panic");
        let counts = server.counts();
        assert_eq!(counts.exchanges, 1000, "{what}");
        assert_eq!(counts.refresh_token_reuses, 0, "{what}");
        // One renewal of the access for each loss, and not for each user.
        assert!(counts.token_requests <= 1 + 2 * 5, "{what}: {counts:?}");
        // At most those in progress were sent twice for each loss.
        assert!(
            counts.exchange_requests <= 1000 + 5 * 64,
            "{what}: {counts:?}"
        );
        assert!(counts.max_concurrent_exchange_requests <= 64, "{what}");
    }
}

/// Logins whose hashes are all the same.
#[derive(Clone, PartialEq, Eq)]
struct Login(String);

impl Hash for Login {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u8(0);
    }
}

/// Returns the user that a token names.
fn user_of(request: &Request<Body>) -> String {
    let token = request.headers()["authorization"].to_str().expect("ascii");
    let claims = token.split('.').nth(1).expect("three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    claims["preferred_username"]
        .as_str()
        .expect("a name")
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_token_for_another_users_login_is_never_sent_for_this_one() {
    const LOGINS: [&str; 6] = [
        "anna@x.example",
        "Anna@x.example",
        "anna@x.example ",
        "anna",
        "\"anna@x.example\"",
        "änna@x.example",
    ];
    let add = |builder: TokenServerBuilder, login: &&str| builder.user(*login, "unknown");
    let builder = LOGINS.iter().fold(TokenServer::builder(), add);
    // First, so that the access is the default.
    let server = company(0, builder);
    let access = TokenCache::new(server.grant_for(ACCESS, "secret"));
    let (made_by, of_all) = (server.clone(), access.clone());
    let accounts = Accounts::builder(move |Login(login)| {
        let user = made_by.impersonation(&of_all, login);
        async { Ok::<_, BoxError>(user) }
    });
    // Fewer than there are, so that they are evicted all the time.
    let accounts = accounts.capacity(2).build().expect("settings");
    let origins = Origins::only([server.api_url()]).expect("an origin");
    let service = server.service();
    let api =
        AccountsLayer::new(accounts, origins).layer(service_fn(move |request: Request<Body>| {
            let Login(login) = request.extensions().get().expect("a login");
            assert_eq!(*login, user_of(&request));
            service.clone().oneshot(request)
        }));
    for round in 0..600 {
        if round % 50 == 0 {
            server.revoke_access_tokens();
        }
        let mut request = get("http://localhost/calls");
        let login = LOGINS[fastrand::usize(..LOGINS.len())];
        request.extensions_mut().insert(Login(login.to_owned()));
        let response: Response<_> = api.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        sleep(secs(fastrand::u64(..120))).await;
    }
    // They were evicted all the time.
    assert!(server.counts().exchanges > 100);
}
