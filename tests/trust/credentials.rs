//! Credentials that several caches send: they are counted together, whichever sends
//! them.

use tokio::time::{Instant, sleep};

use tower_bearer::grant::{
    ClientAuth, ClientCredentialsGrant, ExtensionGrant, JwtBearerGrant, Secret, SecretSource,
    TokenExchangeGrant,
};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{
    AccessToken, BoxTokenSource, ConfigError, RefreshToken, TokenCache, TokenError, TokenErrorKind,
    TokenResponse, TokenSource,
};

use crate::common::{Count, secs};
use crate::endpoint::answering;

#[tokio::test(start_paused = true)]
async fn a_new_cache_for_each_call_sends_a_wrong_password_no_more_often_than_one() {
    let server = TokenServer::builder().in_process();
    let start = Instant::now();
    while start.elapsed() < secs(12 * 3600) {
        let tokens = TokenCache::new(server.grant_for(server.username(), "wrong"));
        let error = tokens.token().await.expect_err("wrong");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
        assert!(error.retry_after().is_some());
        sleep(secs(7)).await;
    }
    assert!(server.token_requests() <= 5, "{}", server.token_requests());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_caches_that_start_at_once_with_a_wrong_password_send_it_once() {
    let server = TokenServer::builder().delay(secs(2)).in_process();
    let callers: Vec<_> = (0..100)
        .map(|_| TokenCache::new(server.grant_for(server.username(), "wrong")))
        .map(|tokens| tokio::spawn(async move { tokens.token().await.map(drop) }))
        .collect();
    for caller in callers {
        let error = caller.await.expect("no panic").expect_err("wrong");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
    }
    assert_eq!(server.token_requests(), 1);
}

/// The right password is tried at once, and a reset clears what is remembered.
#[tokio::test(start_paused = true)]
async fn other_credentials_or_a_reset_are_tried_at_once() {
    let server = TokenServer::builder().in_process();
    let wrong = TokenCache::new(server.grant_for(server.username(), "wrong"));
    let other = TokenCache::new(server.grant_for(server.username(), "wrong"));
    assert!(wrong.token().await.is_err() && other.token().await.is_err());
    assert_eq!(server.token_requests(), 1);
    let right = TokenCache::new(server.grant());
    assert!(right.token().await.is_ok());
    assert!(wrong.token().await.is_err());
    assert_eq!(server.token_requests(), 2, "one erased the other's refusal");
    server.set_password(server.username(), "wrong");
    other.reset();
    assert!(wrong.token().await.is_ok() && other.token().await.is_ok());
    assert_eq!(server.token_requests(), 4);
}

/// Callers of many caches with the same credentials, while the endpoint says
/// nothing at all: what waits for its turn is not sent later.
#[tokio::test(start_paused = true)]
async fn many_caches_with_the_same_credentials_send_no_more_logins_than_there_are_after_an_outage()
{
    let server = TokenServer::builder().in_process();
    server.token_endpoint().set_default(MockResponse::hang());
    let caches: Vec<_> = (0..50).map(|_| TokenCache::new(server.grant())).collect();
    let callers: Vec<_> = caches
        .iter()
        .map(|tokens| {
            let tokens = tokens.clone();
            tokio::spawn(async move {
                let start = Instant::now();
                while start.elapsed() < secs(600) {
                    let _ = tokens.token().await;
                    sleep(secs(1)).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    let during = server.token_requests();
    server.clear_responses();
    sleep(secs(60)).await;
    for tokens in &caches {
        tokens.token().await.expect("a token");
    }
    sleep(secs(60)).await;
    let after = server.token_requests() - during;
    println!("{during} requests in ten minutes of an outage, {after} after it");
    assert!(after <= 100, "{after}");
}

/// Keycloak's detection of brute force refuses right passwords too when logins of
/// one user overlap.
#[tokio::test(start_paused = true)]
async fn logins_of_one_user_by_many_caches_never_overlap() {
    let server = TokenServer::builder().delay(secs(2)).in_process();
    let start = Instant::now();
    for round in 1..=2 {
        let callers: Vec<_> = (0..8)
            .map(|_| TokenCache::new(server.grant()))
            .map(|tokens| tokio::spawn(async move { tokens.token().await.map(drop) }))
            .collect();
        for caller in callers {
            caller.await.expect("no panic").expect("a token");
        }
        assert_eq!(server.token_requests(), 8 * round);
        assert_eq!(start.elapsed().as_secs(), 16 * round);
    }
}

/// A password is being rotated: some have the old one and some the new one, and the
/// server counts both against the user. Others are not kept waiting.
#[tokio::test(start_paused = true)]
async fn logins_of_one_user_by_two_passwords_never_overlap() {
    let server = TokenServer::builder().user("Anna", "new").user("bob", "pw");
    let server = server.delay(secs(2)).in_process();
    let start = Instant::now();
    let callers: Vec<_> = [
        ("Anna", "old"),
        ("anna", "older"),
        ("Anna", "new"),
        ("Anna", "old"),
        ("bob", "pw"),
    ]
    .into_iter()
    .map(|(user, password)| {
        let tokens = TokenCache::new(server.grant_for(user, password));
        tokio::spawn(async move { (tokens.token().await.is_ok(), start.elapsed().as_secs()) })
    })
    .collect();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.expect("no panic"));
    }
    let served: Vec<_> = answers.iter().map(|(served, _)| *served).collect();
    assert_eq!(served, [false, false, true, false, true]);
    assert_eq!(server.token_requests(), 4, "the old one once");
    assert_eq!(answers[4].1, 2, "another user");
    let mut ends = [answers[0].1, answers[1].1, answers[2].1];
    ends.sort_unstable();
    assert_eq!(ends, [2, 4, 6], "one after the other");
}

/// One caller resets a cache while another's login is in progress.
#[tokio::test(start_paused = true)]
async fn a_reset_lets_no_login_overlap_another() {
    let server = TokenServer::builder().delay(secs(2)).in_process();
    let start = Instant::now();
    let first = TokenCache::new(server.grant());
    let first = tokio::spawn(async move { first.token().await.map(drop) });
    sleep(secs(1)).await;
    let other = TokenCache::new(server.grant());
    other.reset();
    other.token().await.expect("a token");
    assert_eq!(start.elapsed().as_secs(), 4, "one after the other");
    first.await.expect("no panic").expect("a token");
}

/// A client's requests overlap once its secret was right. That all of them are
/// refused when it no longer is counts as one refusal.
#[tokio::test(start_paused = true)]
async fn refusals_of_requests_that_overlap_count_as_one() {
    let server = TokenServer::builder().client_secret("s3cret").in_process();
    let refusal = MockResponse::error(401, "invalid_client").after(secs(1));
    server.token_endpoint().set_default(refusal);
    server
        .token_endpoint()
        .enqueue([MockResponse::default().after(secs(1))]);
    let callers: Vec<_> = (0..40)
        .map(|_| {
            let grant = ClientCredentialsGrant::new(server.token_url(), server.client_id());
            let grant = grant.expect("loopback").client_secret("s3cret");
            TokenCache::new(grant.transport(server.service()))
        })
        .map(|tokens| tokio::spawn(async move { tokens.token().await.map(drop) }))
        .collect();
    let mut refused = 0;
    for caller in callers {
        if let Err(error) = caller.await.expect("no panic") {
            let pause = error.retry_after().expect("a pause");
            assert!(pause <= secs(7), "{pause:?}");
            refused += 1;
        }
    }
    assert_eq!((server.token_requests(), refused), (40, 39));
}

/// A user's own source, whose password was changed after the first login. A refresh
/// yields a token for as long as the session lives, but a short one.
#[derive(Clone)]
struct Own {
    logins: Count,
    session_ends: Instant,
}

impl TokenSource for Own {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        if self.logins.up() > 1 {
            return Err(TokenError::new(TokenErrorKind::Refused, "wrong password"));
        }
        let token = AccessToken::new("login")?.with_lifetime(secs(600));
        let refresh_token = RefreshToken::new("session")?;
        Ok(TokenResponse::new(token).with_refresh_token(refresh_token))
    }

    async fn refresh(&self, _: &RefreshToken) -> Result<TokenResponse, TokenError> {
        if Instant::now() >= self.session_ends {
            return Err(TokenError::new(TokenErrorKind::Refused, "no session"));
        }
        Ok(AccessToken::new("refresh")?.with_lifetime(secs(120)).into())
    }
}

#[tokio::test(start_paused = true)]
async fn logins_for_a_longer_life_and_others_count_together_where_credentials_have_no_fingerprint()
{
    let (start, logins) = (Instant::now(), Count::default());
    let tokens = TokenCache::new(Own {
        logins: logins.clone(),
        session_ends: start + secs(2 * 3600),
    });
    assert!(tokens.token().await.is_ok());
    while start.elapsed() < secs(12 * 3600) {
        let _ = tokens.token_valid_for(secs(300)).await;
        let _ = tokens.token().await;
        sleep(secs(60)).await;
    }
    let refused = logins.get() - 1;
    assert!((4..=5).contains(&refused), "{refused}");
}

/// The grants that send this secret, of which nothing else tells from others, as
/// those of many tenants do.
fn with_secret<S: SecretSource>(
    secret: impl Fn() -> S,
    answer: MockResponse,
) -> Result<Vec<BoxTokenSource>, ConfigError> {
    const URL: &str = "https://with-secret.localhost/token";
    let to = || answering(answer.clone());
    let client = |auth| ClientCredentialsGrant::new(URL, "c").map(|it| it.client_auth(auth));
    let exchange = TokenExchangeGrant::new(URL, secret())?;
    let actor = TokenExchangeGrant::new(URL, Secret::from("subject"))?;
    let actor = actor.actor_token(secret(), "jwt");
    let extension = ExtensionGrant::new(URL, "one-time")?;
    let of_client = client(ClientAuth::client_assertion(secret()))?;
    let param = client(ClientAuth::none())?.param_from("key", secret())?;
    Ok(vec![
        BoxTokenSource::new(JwtBearerGrant::new(URL, secret())?.transport(to())),
        BoxTokenSource::new(exchange.transport(to())),
        BoxTokenSource::new(actor.transport(to())),
        BoxTokenSource::new(extension.param_from("code", secret())?.transport(to())),
        BoxTokenSource::new(of_client.transport(to())),
        BoxTokenSource::new(param.transport(to())),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_refused_assertion_is_no_refusal_of_another_one() -> Result<(), ConfigError> {
    let fixed = |text| move || Secret::from(text);
    let returned = |text| move || move || async move { Ok::<_, TokenError>(Secret::from(text)) };
    let refusal = MockResponse::error(400, "invalid_grant");
    let token = r#"{"access_token":"t","token_type":"bearer"}"#;
    let token = MockResponse::body(200, "application/json", token);
    for (case, bad, good) in [
        (
            "fixed",
            with_secret(fixed("bad"), refusal.clone())?,
            with_secret(fixed("good"), token.clone())?,
        ),
        (
            "returned by a closure",
            with_secret(returned("bad"), refusal.clone())?,
            with_secret(returned("good"), token.clone())?,
        ),
    ] {
        for (n, (bad, good)) in bad.into_iter().zip(good).enumerate() {
            let error = TokenCache::new(bad).token().await.expect_err("refused");
            assert_eq!(error.kind(), TokenErrorKind::Refused, "{case} {n}");
            let token = TokenCache::new(good).token().await;
            assert!(token.is_ok(), "{case} {n}: {token:?}");
        }
    }
    Ok(())
}

/// What is known of it in advance is remembered after its cache is gone.
#[tokio::test(start_paused = true)]
async fn a_new_cache_for_each_call_sends_a_refused_assertion_no_more_often_than_one()
-> Result<(), ConfigError> {
    let server = TokenServer::builder().in_process();
    let refusal = MockResponse::error(400, "invalid_grant");
    server.token_endpoint().set_default(refusal);
    let start = Instant::now();
    while start.elapsed() < secs(600) {
        let grant =
            JwtBearerGrant::new("https://again.localhost/token", Secret::from("assertion"))?;
        let tokens = TokenCache::new(grant.transport(server.service()));
        assert!(tokens.token().await.is_err());
        sleep(secs(1)).await;
    }
    // After 5, 10, 20 s and so on, each with up to a quarter more.
    let requests = server.token_requests();
    assert!((6..=8).contains(&requests), "{requests}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_new_cache_for_each_call_sends_a_refused_password_three_times_an_hour_in_whatever_words()
{
    for (status, code) in [
        (400, "invalid_scope"),
        (200, "invalid_target"),
        (500, "unsupported_grant_type"),
        (403, "access_denied"),
        (400, "invalid_request"),
        (401, "unauthorized_client"),
        (402, "PAYMENT"),
    ] {
        let server = TokenServer::builder().in_process();
        let refusal = MockResponse::error(status, code);
        server.token_endpoint().set_default(refusal);
        let start = Instant::now();
        while start.elapsed() < secs(3600) {
            let tokens = TokenCache::new(server.grant());
            assert!(tokens.token().await.is_err());
            sleep(secs(10)).await;
        }
        let requests = server.token_requests();
        assert!((2..=3).contains(&requests), "{status} {code}: {requests}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_sent_as_often_for_ten_scopes_as_for_one() {
    let server = TokenServer::builder().in_process();
    let grant = || server.grant_for(server.username(), "wrong");
    let scopes = (0..5).map(|n| grant().scope(format!("s{n}")));
    let audiences = (0..5).map(|n| grant().audience(format!("a{n}")));
    let caches: Vec<_> = scopes.chain(audiences).map(TokenCache::new).collect();
    let start = Instant::now();
    while start.elapsed() < secs(12 * 3600) {
        for tokens in &caches {
            assert!(tokens.token().await.is_err());
        }
        sleep(secs(30)).await;
    }
    let requests = server.token_requests();
    assert!((4..=5).contains(&requests), "{requests}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_scope_is_no_refusal_of_the_password_for_another_scope() {
    let server = TokenServer::builder().in_process();
    let with_scope = |scope: &str| TokenCache::new(server.grant().scope(scope));
    let refusal = MockResponse::error(400, "invalid_scope");
    server.token_endpoint().enqueue([refusal]);
    assert!(with_scope("admin").token().await.is_err());
    assert!(with_scope("calls").token().await.is_ok());
    let again = with_scope("admin");
    assert!(again.token().await.is_err());
    assert_eq!(server.token_requests(), 2);
    again.reset();
    assert!(again.token().await.is_ok());
    assert_eq!(server.token_requests(), 3);
}

/// The refusal is the other cache's, which remembers it: nothing else was sent.
#[tokio::test(start_paused = true)]
async fn a_source_that_asks_another_cache_has_a_token_soon_after_that_cache_has_one()
-> Result<(), ConfigError> {
    let server = TokenServer::builder().in_process();
    server.disable_user(server.username());
    let account = TokenCache::new(server.grant());
    let of_account = || {
        let account = account.clone();
        move || {
            let account = account.clone();
            async move { account.token().await }
        }
    };
    let token = r#"{"access_token":"t","token_type":"bearer"}"#;
    let token = answering(MockResponse::body(200, "application/json", token));
    let exchange = TokenExchangeGrant::new("https://of-account.localhost/token", of_account())?;
    let caches = [
        TokenCache::new(of_account()),
        TokenCache::new(exchange.transport(token)),
    ];
    for _ in 0..12 * 60 {
        for tokens in &caches {
            let error = tokens.token().await.expect_err("no account");
            assert_eq!(error.kind(), TokenErrorKind::Refused);
        }
        sleep(secs(60)).await;
    }
    let logins = server.token_requests();
    assert!((4..=5).contains(&logins), "{logins}");
    server.enable_user(server.username());
    account.reset();
    sleep(secs(30)).await;
    for tokens in &caches {
        assert!(tokens.token().await.is_ok());
    }
    Ok(())
}
