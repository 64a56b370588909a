//! A refresh token from elsewhere: used, rotated, stored.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_bearer::grant::RefreshTokenGrant;
use tower_bearer::testing::{MockResponse, TokenServer, TokenService};
use tower_bearer::{BoxError, RefreshToken, TokenCache, TokenErrorKind, TokenSource};

use common::{Count, secs};

/// A server with rotation, and a refresh token of an earlier login there.
async fn earlier_login() -> (TokenServer, RefreshToken) {
    let server = TokenServer::builder()
        .user("me", "pw")
        .rotate_refresh_tokens(true)
        .in_process();
    let login = server.grant().fetch().await.expect("a login");
    let token = login.refresh_token().expect("a refresh token").clone();
    (server, token)
}

fn grant(server: &TokenServer, token: RefreshToken) -> RefreshTokenGrant<TokenService> {
    RefreshTokenGrant::new(server.token_url(), "api", token)
        .expect("an endpoint on loopback")
        .transport(server.service())
}

/// What was stored, in its order.
#[derive(Clone, Default)]
struct Safe(Arc<Mutex<Vec<String>>>);

impl Safe {
    fn put(&self, token: &RefreshToken) {
        self.0.lock().expect("no panic").push(token.secret().into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotated_token_is_stored_before_the_new_access_token_is_used() -> Result<(), BoxError> {
    let (server, token) = earlier_login().await;
    let safe = Safe::default();
    let store = safe.clone();
    let grant = grant(&server, token.clone()).on_rotation(move |token| {
        let safe = store.clone();
        async move {
            tokio::time::sleep(secs(5)).await;
            safe.put(&token);
            Ok::<_, BoxError>(())
        }
    });
    let tokens = TokenCache::new(grant);
    let start = tokio::time::Instant::now();
    let first = tokens.token().await?;
    assert_eq!(start.elapsed(), secs(5));
    assert_eq!(safe.all().len(), 1);

    tokio::time::sleep(secs(2995)).await;
    let second = tokens.token().await?;
    assert_ne!(first.secret(), second.secret());
    let stored = safe.all();
    assert_eq!(stored.len(), 2);
    assert!(stored[0] != stored[1] && !stored.contains(&token.secret().to_owned()));
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.refresh_grants), (1, 2));
    assert_eq!(counts.refresh_token_reuses, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_rotate_is_not_stored() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "pw").in_process();
    let login = server.grant().fetch().await?;
    let token = login.refresh_token().expect("a refresh token").clone();
    server.token_endpoint().enqueue([
        MockResponse::default().param("refresh_token", format!("{:?}", token.secret())),
        MockResponse::default().without("refresh_token"),
    ]);
    let stored = Count::default();
    let count = stored.clone();
    let grant = grant(&server, token).on_rotation(move |_| {
        count.up();
        async { Ok::<_, BoxError>(()) }
    });
    for _ in 0..2 {
        grant.fetch().await?;
    }
    assert_eq!(stored.get(), 0);
    grant.fetch().await?;
    assert_eq!(stored.get(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_stored_is_stored_first_and_no_token_is_lost() -> Result<(), BoxError> {
    let (server, token) = earlier_login().await;
    let (safe, tries) = (Safe::default(), Count::default());
    let (store, count) = (safe.clone(), tries.clone());
    let grant = grant(&server, token).on_rotation(move |token| {
        let (safe, n) = (store.clone(), count.up());
        async move {
            match n {
                1 => return Err("the disk is full"),
                2 => panic!("the disk is broken"),
                3 => std::future::pending().await,
                _ => {}
            }
            safe.put(&token);
            Ok(())
        }
    });
    let tokens = TokenCache::builder(grant).wait_timeout(secs(100)).build()?;
    let error = tokens.token().await.expect_err("not stored");
    assert_eq!(error.kind(), TokenErrorKind::Source);
    assert!(error.is_transient() && error.to_string().contains("could not be stored"));
    for kind in [TokenErrorKind::Panicked, TokenErrorKind::Timeout] {
        tokens.reset();
        assert_eq!(tokens.token().await.expect_err("not stored").kind(), kind);
    }
    tokens.reset();
    let token = tokens.token().await?;
    // The token is that of the first request, and has aged since.
    assert!(token.lifetime().expect("a life") <= secs(2970));
    assert_eq!((tries.get(), safe.all().len()), (4, 1));
    assert_eq!(server.counts().refresh_grants, 1);

    tokens.invalidate();
    tokens.token().await?;
    assert_eq!(safe.all().len(), 2);
    assert_eq!(server.counts().refresh_token_reuses, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_access_token_that_expired_while_unstored_is_not_used() -> Result<(), BoxError> {
    let (server, token) = earlier_login().await;
    let tries = Count::default();
    let count = tries.clone();
    let grant = grant(&server, token).on_rotation(move |_| {
        let n = count.up();
        async move { if n == 1 { Err("full") } else { Ok(()) } }
    });
    server.set_delay(secs(2));
    grant.fetch().await.expect_err("not stored");
    server.set_delay(secs(0));
    // Its lifetime began before its request: two seconds are gone, and the rest.
    tokio::time::sleep(secs(2998)).await;
    let answer = grant.fetch().await?;
    assert_eq!(answer.access_token().lifetime(), Some(secs(3000)));
    assert_eq!((tries.get(), server.counts().refresh_grants), (3, 2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_sent_once_and_the_refusal_is_remembered() -> Result<(), BoxError> {
    let (server, token) = earlier_login().await;
    server.end_sessions();
    let tokens = TokenCache::new(grant(&server, token));
    for _ in 0..3 {
        let error = tokens.token().await.expect_err("refused");
        assert_eq!(error.oauth_error(), Some("invalid_grant"));
    }
    assert_eq!(server.token_requests(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_caches_that_share_a_grant_never_send_a_token_twice() -> Result<(), BoxError> {
    let (server, token) = earlier_login().await;
    server.set_delay(Duration::from_secs(1));
    let grant = Arc::new(grant(&server, token));
    let (one, two) = (TokenCache::new(grant.clone()), TokenCache::new(grant));
    let (one, two) = tokio::join!(one.token(), two.token());
    assert_ne!(one?.secret(), two?.secret());
    let counts = server.counts();
    assert_eq!((counts.refresh_grants, counts.refresh_token_reuses), (2, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_on_renewal_is_not_sent_again_at_once() -> Result<(), BoxError> {
    let (server, token) = earlier_login().await;
    let tokens = TokenCache::new(grant(&server, token));
    tokens.token().await?;
    server.end_sessions();
    tokens.invalidate();
    let error = tokens.token().await.expect_err("refused");
    assert_eq!(error.oauth_error(), Some("invalid_grant"));
    assert_eq!(server.token_requests(), 3);
    // Once the cause is fixed, the same grant can be used.
    tokens.reset();
    tokens.token().await.expect_err("refused");
    assert_eq!(server.token_requests(), 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_newer_token_of_another_process_is_taken_and_an_older_one_is_not() -> Result<(), BoxError>
{
    let (server, first) = earlier_login().await;
    let (here, there) = (grant(&server, first.clone()), grant(&server, first.clone()));
    let second = there.fetch().await?.refresh_token().expect("one").clone();
    let third = here.refresh(&second).await?;
    let third = third.refresh_token().expect("one");
    assert!(![first.secret(), second.secret()].contains(&third.secret()));
    here.refresh(&first).await?;
    here.refresh(&second).await?;
    let counts = server.counts();
    assert_eq!((counts.refresh_grants, counts.refresh_token_reuses), (4, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_session_is_ended_with_the_held_token() -> Result<(), BoxError> {
    let (server, token) = earlier_login().await;
    let logout = format!("{}/logout", server.api_url());
    let tokens = TokenCache::new(grant(&server, token).logout_endpoint(logout)?);
    tokens.token().await?;
    assert_eq!(server.counts().open_sessions, 1);
    tokens.revoke().await?;
    assert_eq!(server.counts().open_sessions, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_token_that_stays_the_same_keeps_its_end() -> Result<(), BoxError> {
    let (server, token) = earlier_login().await;
    let grant = grant(&server, token);
    let life = |answer: &tower_bearer::TokenResponse| {
        let token = answer.refresh_token().expect("a refresh token");
        token.lifetime().expect("an end")
    };
    assert_eq!(life(&grant.fetch().await?), secs(7200));
    server
        .token_endpoint()
        .enqueue([MockResponse::default().without("refresh_token")]);
    tokio::time::sleep(secs(1000)).await;
    assert_eq!(life(&grant.fetch().await?), secs(6200));
    Ok(())
}
