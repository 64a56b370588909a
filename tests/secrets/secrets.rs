//! No readable output contains a secret: not the logs of any crate at the finest
//! level, nor `Debug`, `Display` or an error's sources.

#![cfg(all(
    feature = "accounts",
    feature = "config",
    feature = "file-store",
    feature = "private-key-jwt",
    feature = "redis",
    feature = "reqwest-middleware",
    feature = "testing"
))]

mod forms;
mod seen;
mod types;
mod ways;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;

use forms::Secret;
use seen::Seen;
use tower_bearer::testing::{MockResponse, TokenServer};
use ways::{Account, Way};

const WAYS: [Way; 5] = [
    Way::InProcess,
    Way::Hyper { http2: false },
    Way::Hyper { http2: true },
    Way::Reqwest,
    Way::ReqwestMiddleware,
];

/// The secrets of users and of the client. Tokens are kept by [`Seen`].
struct Secrets {
    password: Secret,
    wrong_password: Secret,
    client: Secret,
    wrong_client: Secret,
}

impl Secrets {
    fn new() -> Self {
        let secret_around = |core: &str| Secret::new(format!("{core}&= +/%\"\u{fc}{core}"));
        Self {
            password: secret_around(&Secret::core()),
            wrong_password: secret_around(&Secret::core()),
            client: secret_around(&Secret::core()),
            wrong_client: secret_around(&Secret::core()),
        }
    }

    fn all(&self) -> [&Secret; 4] {
        [
            &self.password,
            &self.wrong_password,
            &self.client,
            &self.wrong_client,
        ]
    }
}

#[tokio::test]
async fn no_secret_is_logged_or_shown_whatever_happens() {
    let seen = Seen::everything();
    let secrets = Secrets::new();
    for way in WAYS {
        for auth in ways::CLIENT_AUTHS {
            whole_life(way, auth, &secrets, &seen).await;
        }
        refusals(way, &secrets, &seen).await;
        invalid_responses(way, &secrets, &seen).await;
        impersonation(way, &secrets, &seen).await;
    }
    types::show_all(secrets.password.text(), &seen);

    let shown = seen.text();
    // Makes sure that the logs of the crates below are there.
    for part in [
        "tower_bearer.fetch",
        "session ended",
        "h2::",
        "hyper_util::",
        "reqwest::",
        "TokenError {",
        "no bearer token",
    ] {
        assert!(
            shown.contains(part),
            "nothing of {part} in {} bytes",
            shown.len()
        );
    }
    let tokens = seen.tokens();
    assert!(tokens.len() > 40, "{} tokens", tokens.len());
    for secret in tokens.iter().chain(secrets.all()) {
        if let Some(found) = secret.find(&shown) {
            let around: String = shown[..found.end].chars().rev().take(400).collect();
            let around: String = around.chars().rev().collect();
            panic!("{} shows a secret: …{around}", found.form);
        }
    }
}

#[test]
fn a_secret_is_found_in_every_form_that_is_looked_for() {
    let secret = Secret::new(format!("{}&\u{fc}", Secret::core()));
    let mut forms = 0;
    for (form, text) in secret.forms() {
        let found = secret.find(&format!("before {text} after"));
        assert!(found.is_some(), "a secret is not found as {form}: {text}");
        forms += 1;
    }
    assert!(forms > 10, "{forms} forms");
    assert!(secret.find("nothing of the kind").is_none());
    let basic = format!("Basic YXBpO{}", secret.forms().last().expect("a form").1);
    assert!(secret.find(&basic).is_some());
}

#[tokio::test]
async fn a_planted_secret_is_found_in_the_log_of_a_dependency() {
    let seen = Seen::everything();
    let planted = Secret::new(Secret::core());
    // In a host's name, which reqwest logs.
    let server = TokenServer::start().await.expect("a socket");
    let (_, address) = server.api_url().rsplit_once('/').expect("a URL");
    let host = format!("{}.test", planted.text());
    let client = reqwest::Client::builder()
        .no_proxy()
        .resolve(&host, address.parse().expect("an address"))
        .build();
    let url = format!("http://{host}/");
    let response = client.expect("a client").get(url).send().await;
    assert_eq!(
        response.expect("an answer").status(),
        StatusCode::UNAUTHORIZED
    );
    assert!(planted.find(&seen.text()).is_some(), "the log is not seen");
}

fn server_with(secrets: &Secrets) -> tower_bearer::testing::TokenServerBuilder {
    TokenServer::builder()
        .user("me", secrets.password.text())
        .client_secret(secrets.client.text())
        .rotate_refresh_tokens(true)
}

/// Fetches a token, replays with a refreshed one, and fetches one by password again.
async fn whole_life(way: Way, auth: ways::MakeClientAuth, secrets: &Secrets, seen: &Seen) {
    let server = server_with(secrets).start().await.expect("a socket");
    let account = Account::new(&server, &secrets.password, &secrets.client).auth(auth);
    let tokens = account.cache(way, seen);
    assert!(ways::call(way, &tokens, &server, seen).await, "{way:?}");
    server.revoke_access_tokens();
    assert!(ways::call(way, &tokens, &server, seen).await, "{way:?}");
    server.end_sessions();
    assert!(ways::call(way, &tokens, &server, seen).await, "{way:?}");
    let counts = server.counts();
    assert_eq!(
        (counts.password_grants, counts.refresh_grants),
        (2, 1),
        "{way:?}"
    );
    for challenge in ["Basic realm=\"x\"", "Bearer error=\"insufficient_scope\""] {
        server.api().enqueue([
            MockResponse::status(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE, challenge)
        ]);
        ways::call(way, &tokens, &server, seen).await;
    }
    // A 401 to every request, which the caller gets.
    server
        .api()
        .set_default(MockResponse::status(StatusCode::UNAUTHORIZED));
    for _ in 0..3 {
        ways::call(way, &tokens, &server, seen).await;
    }
    seen.show("StatusWatch", &tokens.watch());
    for _ in 0..2 {
        // The second one has nothing to end, or fails.
        if let Err(error) = tokens.revoke().await {
            seen.show_error(&error);
        }
    }
    assert_eq!(server.counts().open_sessions, 0, "{way:?}");
    tokens.invalidate();
    seen.show("TokenCache", &tokens);
    seen.show("Status", &tokens.status());
}

async fn refusals(way: Way, secrets: &Secrets, seen: &Seen) {
    let server = server_with(secrets).start().await.expect("a socket");
    for (password, client) in [
        (&secrets.wrong_password, &secrets.client),
        (&secrets.password, &secrets.wrong_client),
    ] {
        for auth in ways::CLIENT_AUTHS {
            let tokens = Account::new(&server, password, client)
                .auth(auth)
                .cache(way, seen);
            // Once by the server, once from memory.
            for _ in 0..2 {
                assert!(!ways::call(way, &tokens, &server, seen).await, "{way:?}");
            }
            seen.show("TokenCache", &tokens);
        }
    }
    server.disable_user("me");
    let account = Account::new(&server, &secrets.password, &secrets.client);
    assert!(!ways::call(way, &account.cache(way, seen), &server, seen).await);
    server.enable_user("me");
    server.require_action("me");
    assert!(!ways::call(way, &account.cache(way, seen), &server, seen).await);
}

/// Responses that no server should send, with the secrets in them.
async fn invalid_responses(way: Way, secrets: &Secrets, seen: &Seen) {
    let server = server_with(secrets).start().await.expect("a socket");
    let account = Account::new(&server, &secrets.password, &secrets.client);
    let (password, core) = (secrets.password.text(), secrets.password.own_core());
    let json = |text: String| MockResponse::body(StatusCode::OK, "application/json", text);
    let temporary = StatusCode::TEMPORARY_REDIRECT;
    for response in [
        MockResponse::echo(),
        MockResponse::error(StatusCode::BAD_REQUEST, core),
        MockResponse::error(StatusCode::BAD_REQUEST, &format!("wrong_{core}")),
        MockResponse::error(StatusCode::BAD_REQUEST, password),
        MockResponse::status(StatusCode::FORBIDDEN),
        MockResponse::status(503).retry_after(core),
        MockResponse::body(
            StatusCode::BAD_GATEWAY,
            "text/html",
            format!("<p>{password}</p>"),
        ),
        json(password.to_owned()),
        json(format!("[{password:?}]")),
        json(format!(r#"{{"access_token":"{core} {core}"}}"#)),
        json(format!(r#"{{"access_token":["{core}"]}}"#)),
        json(format!(r#"{{"access_token":"a","token_type":"{core}"}}"#)),
        // A token all the same, which the API does not take.
        json(format!(
            r#"{{"access_token":"{}","expires_in":"{core}"}}"#,
            Secret::core()
        )),
        json(format!(
            r#"{{"error":"{core}","error_description":"{core}"}}"#
        )),
        MockResponse::redirect(StatusCode::FOUND, &format!("/token?{core}")),
        MockResponse::redirect(temporary, &format!("/token?{core}")),
        MockResponse::redirect(temporary, &format!("https://{core}.evil.test/")),
        MockResponse::redirect(
            temporary,
            &format!(
                "{}x?{core}",
                server.token_url().replace("//", &format!("//me:{core}@"))
            ),
        ),
        MockResponse::close(),
        MockResponse::default().close_at(30),
        MockResponse::hang(),
        MockResponse::endless(),
    ] {
        let what = format!("{way:?} {response:?}");
        server.token_endpoint().set_default(response);
        let tokens = account.cache(way, seen);
        assert!(!ways::call(way, &tokens, &server, seen).await, "{what}");
        if let Err(error) = tokens.revoke().await {
            seen.show_error(&error);
        }
        seen.show("TokenCache", &tokens);
    }
}

/// An account that acts for a user at VoIPex's exchange, whatever that answers.
async fn impersonation(way: Way, secrets: &Secrets, seen: &Seen) {
    let builder = server_with(secrets).user("anna", "hers");
    let server = builder.impersonator("me").start().await;
    let server = server.expect("a socket");
    let account = Account::new(&server, &secrets.password, &secrets.client);
    let anna = account.cache_of_user(way, "anna", seen);
    assert!(ways::call(way, &anna, &server, seen).await);
    server.revoke_access_tokens();
    assert!(ways::call(way, &anna, &server, seen).await);
    server.end_sessions();
    assert!(ways::call(way, &anna, &server, seen).await);
    if let Err(error) = anna.revoke().await {
        seen.show_error(&error);
    }
    let wrong = Account::new(&server, &secrets.wrong_password, &secrets.client);
    let of_nobody = wrong.cache_of_user(way, "anna", seen);
    assert!(!ways::call(way, &of_nobody, &server, seen).await);
    let core = secrets.password.own_core();
    let temporary = StatusCode::TEMPORARY_REDIRECT;
    for response in [
        MockResponse::echo(),
        MockResponse::error(StatusCode::BAD_REQUEST, core),
        MockResponse::error(StatusCode::FORBIDDEN, core),
        MockResponse::unauthorized(["Bearer error=\"invalid_token\""]),
        MockResponse::body(StatusCode::OK, "text/html", format!("<p>{core}</p>")),
        MockResponse::redirect(temporary, &format!("https://{core}.evil.test/")),
        MockResponse::status(503),
        MockResponse::close(),
        MockResponse::default().close_at(30),
        MockResponse::hang(),
    ] {
        let what = format!("{way:?} {response:?}");
        server.exchange_endpoint().set_default(response);
        let anna = account.cache_of_user(way, "anna", seen);
        assert!(!ways::call(way, &anna, &server, seen).await, "{what}");
        seen.show("TokenCache", &anna);
    }
}
