//! One server, and helpers for the cases.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use tower_bearer::grant::{ClientAuth, ClientCredentialsGrant, Grant, RefreshTokenGrant};
use tower_bearer::{PasswordGrant, RefreshToken, TokenCache, TokenCacheBuilder, TokenSource};

use crate::about::{About, Account};
use crate::process::{Process, free_port};
use crate::stack::{self, Bodies, Stack};
use crate::watch::Watch;

/// Of the client `client`.
const SECRET: &str = "marksecret";
/// Of the client `odd`.
const ODD_SECRET: &str = "m%rk+se cret:&=";
/// Of all users.
const PASSWORD: &str = "markpass p&ss=w+rd 100% \u{fc}";
/// Of the access tokens.
pub(crate) const LIFE: Duration = Duration::from_secs(20);

/// How long a start may take.
const START: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) about: About,
    folder: PathBuf,
    run: PathBuf,
    port: u16,
    process: Process,
    users: AtomicUsize,
}

/// The user who logs in, and how.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) client: String,
    pub(crate) auth: ClientAuth,
    /// The client itself logs in, not a user.
    pub(crate) itself: bool,
    /// By a client that keeps connections, not the default transport.
    pub(crate) pooled: bool,
}

impl World {
    /// Starts the server that a `run` has installed.
    pub(crate) async fn create() -> Self {
        let variable = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .unwrap_or_else(|| {
                    panic!("{name} is not set: start this test by `bash tests/servers/run`")
                })
        };
        let folder = variable("TOWER_BEARER_SERVER");
        let run = variable("TOWER_BEARER_SERVER_RUN");
        let world = Self {
            about: About::read(&folder),
            port: free_port().expect("a free port"),
            process: Process::new(&run, "server"),
            users: AtomicUsize::new(0),
            folder,
            run,
        };
        world.start().await;
        world
    }

    /// The server's `run`, which does one thing.
    fn script(&self, what: &str) -> Command {
        let mut command = Command::new("bash");
        command
            .arg(self.folder.join("run"))
            .arg(what)
            .env("PORT", self.port.to_string())
            .env("LIFE", LIFE.as_secs().to_string())
            .env("DATA", &self.run)
            .env("SECRET", SECRET)
            .env("ODD_SECRET", ODD_SECRET)
            .env("PASSWORD", PASSWORD);
        command
    }

    pub(crate) async fn start(&self) {
        self.process.start(self.script("--start"));
        let url = self.direct(&self.about.api.path);
        let is_ready = |status: http::StatusCode| !status.is_server_error();
        self.process.ready(&url, START, is_ready).await;
    }

    /// Ends the server as a power cut would.
    pub(crate) fn kill(&self) {
        self.process.kill();
    }

    /// Returns a path of the server where nothing is counted.
    pub(crate) fn direct(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) async fn watch(&self) -> Watch {
        Watch::start(self.port).await
    }

    /// A login that works, of a user that no case had yet.
    pub(crate) fn login(&self) -> Login {
        let user = format!("user{}", self.users.fetch_add(1, Relaxed) % 24);
        Login {
            user,
            password: PASSWORD.into(),
            client: "client".into(),
            auth: ClientAuth::client_secret_basic(SECRET),
            itself: self.about.account == Account::ClientCredentials,
            pooled: false,
        }
    }

    /// A login of the client itself, if the server knows that.
    pub(crate) fn machine(&self) -> Option<Login> {
        let client = self.about.machine.clone().unwrap_or("client".into());
        let login = Login {
            client,
            itself: true,
            ..self.login()
        };
        self.about.client_credentials.then_some(login)
    }

    /// A login with the client `odd`, which authenticates in this way.
    pub(crate) fn odd(&self, way: &str) -> Login {
        let auth = match way {
            "client_secret_basic" => ClientAuth::client_secret_basic(ODD_SECRET),
            "client_secret_basic_unencoded" => {
                ClientAuth::client_secret_basic_unencoded(ODD_SECRET)
            }
            "client_secret_post" => ClientAuth::client_secret_post(ODD_SECRET),
            other => panic!("no such way to authenticate: {other}"),
        };
        let login = self.login();
        Login {
            client: "odd".into(),
            auth,
            // A refresh token is for the client that got it.
            itself: login.itself || self.about.account == Account::RefreshToken,
            ..login
        }
    }

    /// A cache with this login, to be set up further.
    pub(crate) async fn tokens(&self, watch: &Watch, login: Login) -> TokenCacheBuilder {
        let endpoint = format!("{}{}", watch.url, self.about.token_endpoint);
        let Login {
            user,
            password,
            client,
            ..
        } = login.clone();
        if login.itself {
            let grant = ClientCredentialsGrant::new(endpoint, client);
            return self.finish(watch, login, grant.expect("a URL"));
        }
        match self.about.account {
            Account::RefreshToken => {
                let token = RefreshToken::new(self.refresh_token(watch, &user).await);
                let grant = RefreshTokenGrant::new(endpoint, client, token.expect("a token"));
                self.finish(watch, login, grant.expect("a URL"))
            }
            _ => {
                let grant = PasswordGrant::new(endpoint, client, user, password);
                self.finish(watch, login, grant.expect("a URL"))
            }
        }
    }

    fn finish<K>(&self, watch: &Watch, login: Login, mut grant: Grant<K>) -> TokenCacheBuilder
    where
        Grant<K>: TokenSource,
        Grant<K, stack::Http<http_body_util::Full<bytes::Bytes>>>: TokenSource,
    {
        grant = grant.client_auth(login.auth);
        if let Some(scope) = &self.about.scope {
            grant = grant.scope(scope);
        }
        if let Some(path) = &self.about.revocation_endpoint {
            let url = format!("{}{path}", watch.url);
            grant = grant.revocation_endpoint(url).expect("a URL");
        }
        match login.pooled {
            true => TokenCache::builder(grant.transport(stack::client())),
            false => TokenCache::builder(grant),
        }
    }

    /// What `run --refresh-token` prints. Its requests are not counted.
    async fn refresh_token(&self, watch: &Watch, user: &str) -> String {
        let mut command = self.script("--refresh-token");
        command.env("URL", &watch.url).env("LOGIN", user);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let (token, error) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success() && !token.is_empty(),
            "no refresh token: {error}"
        );
        watch.forget();
        token
    }

    /// A client of the server's API.
    pub(crate) fn stack(&self, watch: &Watch, tokens: &TokenCache, bodies: Bodies) -> Stack {
        Stack::new(tokens, bodies, &watch.url, &self.about.api)
    }

    /// Ends an access token, as an administrator does.
    pub(crate) async fn end_access_token(&self, path: &str, token: &str) {
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        let request = reqwest::Client::new()
            .post(self.direct(path))
            .basic_auth("client", Some(SECRET))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// The status of a call of the API with this token. It is not counted.
    pub(crate) async fn call_with(&self, watch: &Watch, token: &str) -> u16 {
        let url = format!("{}{}", watch.url, self.about.api.path);
        let method = self.about.api.method.parse().expect("a method");
        let request = reqwest::Client::new().request(method, url);
        let answer = request.bearer_auth(token).send().await;
        watch.forget_last();
        answer.expect("an answer").status().as_u16()
    }
}

/// Waits until something holds, a minute at most.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} did not come");
        sleep(Duration::from_millis(2)).await;
    }
}
