//! Credentials that were refused and then replaced in their files: new contents are
//! tried at once; what was refused stays refused.

#![cfg(feature = "testing")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{advance, sleep};

use tower_bearer::grant::{
    ClientAuth, ClientCredentialsGrant, JwtBearerGrant, SecretFile, TokenExchangeGrant,
};
use tower_bearer::store::MemoryStore;
use tower_bearer::testing::TokenServer;
use tower_bearer::transport::Transport;
use tower_bearer::{BoxError, PasswordGrant, TokenCache, TokenErrorKind, TokenSource};

use support::{Log, TOKEN, answer, endpoint};

const URL: &str = "https://a.example/token";

/// More than the pause between two looks.
const LATER: Duration = Duration::from_millis(1100);

/// A file that is gone when the test is over.
struct Scrap(PathBuf);

impl Scrap {
    fn new(name: &str, content: &str) -> Self {
        let name = format!("tower-bearer-replaced-{name}-{}", std::process::id());
        let scrap = Self(std::env::temp_dir().join(name));
        scrap.write(content);
        scrap
    }

    fn write(&self, content: &str) {
        std::fs::write(&self.0, content).expect("written");
    }

    fn secret(&self) -> SecretFile {
        SecretFile::new(&self.0)
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An endpoint that refuses by this error what does not hold "new".
fn refuses_old(log: &Log, code: &'static str) -> impl Transport {
    let seen = log.clone();
    endpoint(log, move |n| match seen.all()[n].body.contains("new") {
        true => answer(200, &[], TOKEN),
        false => answer(400, &[], format!(r#"{{"error":"{code}"}}"#)),
    })
}

/// A call for a token every second.
async fn refused(tokens: &TokenCache, times: u32) {
    for _ in 0..times {
        let error = tokens.token().await.expect_err("refused");
        assert_eq!(error.kind(), TokenErrorKind::Refused, "{error}");
        sleep(LATER).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_that_is_replaced_is_tried_at_once() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "new").in_process();
    let file = Scrap::new("password", "old");
    let tokens = TokenCache::new(server.grant_for("me", file.secret()));
    refused(&tokens, 10).await;
    assert_eq!(server.token_requests(), 1);
    // Another wrong one gets its own attempt, and the first is not tried again.
    for content in ["other", "old", "other\n", "old\r\n", "old"] {
        file.write(content);
        refused(&tokens, 3).await;
    }
    assert_eq!(server.token_requests(), 2);
    file.write("new");
    tokens.token().await?;
    assert_eq!(server.token_requests(), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_looks_once_a_second_and_no_more() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "new").in_process();
    let file = Scrap::new("seldom", "old");
    let tokens = TokenCache::new(server.grant_for("me", file.secret()));
    refused(&tokens, 1).await;
    let error = tokens.token().await.expect_err("looks");
    assert_eq!(error.kind(), TokenErrorKind::Refused);
    file.write("new");
    for _ in 0..100 {
        advance(Duration::from_millis(9)).await;
        let error = tokens.token().await.expect_err("from memory");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
    }
    assert_eq!(server.token_requests(), 1);
    advance(Duration::from_millis(200)).await;
    tokens.token().await?;
    assert_eq!(server.token_requests(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn callers_at_once_log_in_once_with_what_is_new() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "new").in_process();
    let file = Scrap::new("at-once", "old");
    let tokens = TokenCache::new(server.grant_for("me", file.secret()));
    refused(&tokens, 1).await;
    file.write("new");
    let calls = (0..100).map(|_| {
        let tokens = tokens.clone();
        tokio::spawn(async move { tokens.token().await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await??;
    }
    assert_eq!(server.token_requests(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn new_secrets_of_a_client_and_new_assertions_are_tried_at_once() -> Result<(), BoxError> {
    fn cache(source: impl TokenSource) -> TokenCache {
        TokenCache::new(source)
    }
    let file = Scrap::new("client", "");
    let secret = || file.secret();
    let client = |auth| ClientCredentialsGrant::new(URL, "billing").map(|it| it.client_auth(auth));
    type Make<'a> = Box<dyn Fn(&Log) -> Result<TokenCache, BoxError> + 'a>;
    let cases: [(&str, Make<'_>); 6] = [
        (
            "client_secret_post",
            Box::new(|log| {
                let grant = client(ClientAuth::client_secret_post(secret()))?;
                Ok(cache(grant.transport(refuses_old(log, "invalid_client"))))
            }),
        ),
        (
            "client_assertion",
            Box::new(|log| {
                let grant = client(ClientAuth::client_assertion(secret()))?;
                Ok(cache(grant.transport(refuses_old(log, "invalid_client"))))
            }),
        ),
        (
            "param_from",
            Box::new(|log| {
                let grant = client(ClientAuth::none())?.param_from("key", secret())?;
                Ok(cache(grant.transport(refuses_old(log, "invalid_client"))))
            }),
        ),
        (
            "jwt_bearer",
            Box::new(|log| {
                let grant = JwtBearerGrant::new(URL, secret())?;
                Ok(cache(grant.transport(refuses_old(log, "invalid_grant"))))
            }),
        ),
        (
            "token_exchange",
            Box::new(|log| {
                let grant = TokenExchangeGrant::new(URL, secret())?;
                Ok(cache(grant.transport(refuses_old(log, "invalid_request"))))
            }),
        ),
        (
            "the client of a person",
            Box::new(|log| {
                let grant = PasswordGrant::new(URL, "api", "of-assertion", "pw")?
                    .client_auth(ClientAuth::client_assertion(secret()));
                Ok(cache(grant.transport(refuses_old(log, "invalid_client"))))
            }),
        ),
    ];
    for (case, make) in cases {
        file.write("old");
        let log = Log::default();
        let tokens = make(&log)?;
        // Shorter than the pause of a client, which is 5 s.
        refused(&tokens, 3).await;
        assert_eq!(log.all().len(), 1, "{case}");
        file.write("new");
        tokens.token().await.expect(case);
        assert_eq!(log.all().len(), 2, "{case}");
    }
    Ok(())
}

/// A cluster writes another assertion each hour, which says nothing of a password.
#[tokio::test(start_paused = true)]
async fn a_new_assertion_of_the_client_has_no_refused_password_sent_again() -> Result<(), BoxError>
{
    let log = Log::default();
    let file = Scrap::new("hourly", "old");
    let grant = PasswordGrant::new(URL, "api", "me", "wrong")?
        .client_auth(ClientAuth::client_assertion(file.secret()))
        .transport(endpoint(&log, |_| {
            answer(400, &[], r#"{"error":"invalid_grant"}"#)
        }));
    let tokens = TokenCache::new(grant);
    for n in 0..20 {
        file.write(&format!("assertion {n}"));
        refused(&tokens, 2).await;
    }
    assert_eq!(log.all().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_fleet_tries_a_new_password_at_once_too() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "new").in_process();
    let (file, other) = (Scrap::new("fleet", "old"), Scrap::new("fleet-2", "old"));
    let store = MemoryStore::new();
    let member = |file: &Scrap| {
        let grant = server.grant_for("me", file.secret());
        TokenCache::builder(grant)
            .store(store.clone(), "me")
            .build()
    };
    let (tokens, others) = (member(&file)?, member(&other)?);
    refused(&tokens, 3).await;
    refused(&others, 3).await;
    assert_eq!(server.token_requests(), 1);
    file.write("new");
    tokens.token().await?;
    assert_eq!(server.token_requests(), 2);
    Ok(())
}

#[cfg(feature = "accounts")]
#[tokio::test(start_paused = true)]
async fn an_account_whose_password_is_replaced_is_tried_at_once() -> Result<(), BoxError> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    let server = Arc::new(TokenServer::builder().user("me", "new").in_process());
    let file = Scrap::new("tenant", "old");
    let made = Arc::new(AtomicU32::new(0));
    let accounts = {
        let (server, secret, made) = (server.clone(), file.secret(), made.clone());
        tower_bearer::Accounts::new(move |_: u8| {
            made.fetch_add(1, Ordering::SeqCst);
            let source = server.grant_for("me", secret.clone());
            async { Ok::<_, BoxError>(source) }
        })
    };
    let tokens = accounts.get_or_create(&7)?;
    for _ in 0..10 {
        let error = tokens.token().await.expect_err("refused");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
        sleep(LATER).await;
    }
    // The closure may ask a database: it is not asked while nothing has changed.
    assert_eq!(
        (server.token_requests(), made.load(Ordering::SeqCst)),
        (1, 1)
    );
    file.write("new");
    tokens.token().await?;
    assert_eq!(server.token_requests(), 2);
    Ok(())
}

/// The default transport's certificate, which the fingerprint says nothing of.
#[cfg(feature = "reqwest")]
#[tokio::test]
async fn another_certificate_counts_as_new_and_another_authority_does_not() -> Result<(), BoxError>
{
    use tower_bearer::transport::DefaultTransport;

    let (certificate, key) = (Scrap::new("crt", "a"), Scrap::new("key", "b"));
    let authority = Scrap::new("ca", "c");
    let transport = DefaultTransport::new()
        .client_certificate_files([&certificate.0, &key.0])
        .root_certificates_file(&authority.0);
    let grant = ClientCredentialsGrant::new(URL, "billing")?
        .client_auth(ClientAuth::tls_client_auth())
        .transport(transport);
    grant.reread().await?;
    let first = grant.contents();
    assert!(first.is_some());
    for (file, is_new) in [(&authority, false), (&key, true), (&certificate, true)] {
        let before = grant.contents();
        grant.reread().await?;
        assert_eq!(grant.contents(), before, "nothing changed");
        file.write("other");
        grant.reread().await?;
        assert_eq!(grant.contents() != before, is_new);
    }
    let fixed = ClientCredentialsGrant::new(URL, "billing")?.client_secret("s");
    assert_eq!(fixed.contents(), None);
    Ok(())
}

/// A file system that hangs.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_cannot_be_read_in_time_keeps_nobody_longer() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "new").in_process();
    let file = Scrap::new("hangs", "old");
    let tokens = TokenCache::new(server.grant_for("me", file.secret()));
    let error = tokens.token().await.expect_err("refused");
    assert_eq!(error.kind(), TokenErrorKind::Refused);
    std::fs::remove_file(&file.0)?;
    // Nothing is written to this one.
    let made = std::process::Command::new("mkfifo").arg(&file.0).status()?;
    assert!(made.success());
    let started = std::time::Instant::now();
    for _ in 0..100 {
        let error = tokens.token().await.expect_err("from memory");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "once");
    // So that the thread that reads it ends.
    file.write("new");
    Ok(())
}
