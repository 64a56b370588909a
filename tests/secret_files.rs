//! Secrets in files that are replaced while a program runs.

mod support;

use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, Credential, Secret};
use tower_bearer::testing::TokenServer;
use tower_bearer::{
    BoxError, PasswordGrant, RefreshToken, TokenCache, TokenErrorKind, TokenSource,
};

use support::scrap::Scrap;
use support::{Log, TOKEN, answer, endpoint};

const URL: &str = "https://a.example/token";

#[tokio::test]
async fn a_password_and_a_clients_secret_are_read_for_each_token_request() -> Result<(), BoxError> {
    let (password, secret) = (Scrap::new("password"), Scrap::new("client-secret"));
    let log = Log::default();
    let source = || endpoint(&log, |_| answer(200, &[], TOKEN));
    let person = PasswordGrant::new(URL, "api", "me", password.secret())?
        .client_auth(ClientAuth::client_secret_post(secret.secret()))
        .transport(source());
    let client = ClientCredentialsGrant::new(URL, "billing")?
        .client_secret(secret.secret())
        .transport(source());
    let refresh_token = RefreshToken::new("r")?;
    for (content, one, basic) in [
        ("first", "first", "YmlsbGluZzpmaXJzdA=="),
        ("\u{feff}second \r\n", "second", "YmlsbGluZzpzZWNvbmQ="),
    ] {
        password.write(content);
        secret.write(content);
        person.fetch().await?;
        person.refresh(&refresh_token).await?;
        client.fetch().await?;
        let all = log.all();
        let sent = &all[all.len() - 3..];
        assert_eq!(
            sent[0].body,
            format!(
                "client_id=api&username=me&password={one}&grant_type=password&client_secret={one}"
            )
        );
        assert!(
            sent[1].body.ends_with(&format!("client_secret={one}")),
            "{:?}",
            sent[1]
        );
        assert_eq!(sent[2].headers["authorization"], format!("Basic {basic}"));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_secret_is_an_error_that_names_the_file_and_nothing_is_sent()
-> Result<(), BoxError> {
    let file = Scrap::new("fault");
    let log = Log::default();
    let source = || endpoint(&log, |_| answer(200, &[], TOKEN));
    let person = PasswordGrant::voipex("me", file.secret()).transport(source());
    let client = ClientCredentialsGrant::new(URL, "billing")?
        .client_secret(file.secret())
        .transport(source());
    let large = vec![b'x'; (1 << 20) + 1];
    for content in [
        None,
        Some("".as_bytes()),
        Some("\u{feff} \r\n".as_bytes()),
        Some(b"hunter2\xff"),
        Some(&large),
    ] {
        if let Some(content) = content {
            file.write(content);
        }
        for result in [person.fetch().await, client.fetch().await] {
            let error = result.expect_err("no secret");
            assert_eq!(error.kind(), TokenErrorKind::Source);
            assert!(error.is_transient() && error.to_string().contains("tower-bearer-fault"));
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
    assert!(log.all().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_secret_in_a_file_has_the_fingerprint_of_the_same_string() -> Result<(), BoxError> {
    let file = Scrap::new("fingerprint");
    file.write("pw\n");
    let in_file = PasswordGrant::voipex("me", file.secret());
    let log = Log::default();
    let in_file = in_file.transport(endpoint(&log, |_| answer(200, &[], TOKEN)));
    assert!(!in_file.is_prepared());
    in_file.prepare().await?;
    let fixed = |password: &str| PasswordGrant::voipex("me", password).fingerprint();
    let through = |password| {
        let grant = PasswordGrant::voipex("me", Credential::from(Secret::from(password)));
        grant.transport(endpoint(&log, |_| answer(200, &[], TOKEN)))
    };
    assert!(through("pw").is_prepared());
    assert_eq!(in_file.fingerprint(), through("pw").fingerprint());
    file.write("other\n");
    in_file.prepare().await?;
    assert_eq!(in_file.fingerprint(), through("other").fingerprint());
    #[cfg(feature = "reqwest")]
    assert_eq!(in_file.fingerprint(), fixed("other"));
    #[cfg(not(feature = "reqwest"))]
    let _ = fixed;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_new_password_does_not_wait_for_the_pause_of_the_old_one() -> Result<(), BoxError> {
    let server = TokenServer::builder().user("me", "new").in_process();
    let file = Scrap::new("rotated");
    file.write("old\n");
    let account = || TokenCache::new(server.grant_for("me", file.secret()));
    let error = account().token().await.expect_err("the old one");
    assert_eq!(error.kind(), TokenErrorKind::Refused);
    // The process remembers that.
    let error = account().token().await.expect_err("the old one");
    assert_eq!(
        (error.kind(), server.token_requests()),
        (TokenErrorKind::Refused, 1)
    );
    file.write("new\n");
    account().token().await?;
    assert_eq!(server.token_requests(), 2);
    Ok(())
}

/// A pipe can be read only once it is written to: reading it on the runtime's own
/// thread stops everything else.
#[cfg(unix)]
#[tokio::test]
async fn a_file_is_read_off_the_runtimes_threads() -> Result<(), BoxError> {
    use std::sync::mpsc;
    use std::time::Duration;

    let pipe = Scrap::new("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe.0).status()?;
    assert!(made.success());
    let log = Log::default();
    let grant = PasswordGrant::voipex("me", pipe.secret());
    let grant = grant.transport(endpoint(&log, |_| answer(200, &[], TOKEN)));
    let (goes_on, waits) = mpsc::channel();
    let path = pipe.0.clone();
    let writer = std::thread::spawn(move || {
        let in_time = waits.recv_timeout(Duration::from_secs(20)).is_ok();
        std::fs::write(path, if in_time { "in-time" } else { "late" })
    });
    let others = async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        goes_on.send(()).expect("a writer");
    };
    let (fetched, ()) = tokio::join!(grant.fetch(), others);
    fetched?;
    writer.join().expect("no panic")?;
    let body = log.all().pop().expect("a request").body;
    assert!(body.contains("password=in-time"), "{body}");
    Ok(())
}
