//! A token endpoint as seen over HTTP, and its count for each login.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep};
use tower::Service;

use crate::backoff::Backoff;
use crate::common::{Broken, Shared};

pub(crate) const PASSWORDS: usize = 2;

/// How a wrong password is refused. What counts is that the response is not a token.
const REFUSALS: [(u16, &str); 9] = [
    (400, r#"{"error":"invalid_grant"}"#),
    (401, r#"{"error":"access_denied"}"#),
    (400, r#"{"error":"invalid_request"}"#),
    (403, "no"),
    (200, r#"{"code":10003}"#),
    (200, r#"{"access_token":null}"#),
    (200, "<html>Sign in</html>"),
    (204, ""),
    (303, ""),
];

/// How the endpoint is disposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// It answers a 500 or a 429: it may have counted the password as a wrong one.
    Failing(u16),
}

/// A password, and its fate.
#[derive(Debug, Default)]
pub(crate) struct Password {
    pub(crate) backoff: Backoff,
    /// A login with it is on its way.
    pub(crate) is_sent: bool,
    /// When it was refused, since it was last accepted or reset.
    pub(crate) refused: Vec<Instant>,
}

pub(crate) type Server = Shared<State>;

pub(crate) struct State {
    /// The password that the server takes.
    pub(crate) right: usize,
    pub(crate) mood: Mood,
    pub(crate) latency: Duration,
    pub(crate) refusal: usize,
    pub(crate) lifetime: u64,
    pub(crate) passwords: [Password; PASSWORDS],
    pub(crate) tokens: u64,
    pub(crate) broken: Broken,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::of(State {
            right: 0,
            mood: Mood::Good,
            latency: Duration::ZERO,
            refusal: 0,
            lifetime: 300,
            passwords: Default::default(),
            tokens: 0,
            broken: Broken::default(),
        })
    }
}

impl State {
    /// Notes a broken promise.
    pub(crate) fn check(&mut self, holds: bool, promise: &str) {
        let passwords = &self.passwords;
        let seen = || format!("at {:?}\n{passwords:?}", Instant::now());
        self.broken.check(holds, promise, seen);
    }

    /// A new way to refuse.
    pub(crate) fn word_refusals(&mut self, rng: &mut fastrand::Rng) {
        self.refusal = rng.usize(..REFUSALS.len());
    }

    fn arrives(&mut self, at: usize) {
        let now = Instant::now();
        let overlaps = self.passwords.iter().any(|it| it.is_sent);
        self.passwords[at].is_sent = true;
        self.check(!overlaps, "two logins of one user at once");
        let may_try = self.passwords[at].backoff.may_try(now);
        self.check(may_try, "a login before its pause is over");
    }

    /// Decides a login's fate by the server's mood when it answers.
    fn answer(&mut self, at: usize, mood: Mood, right: usize) -> (u16, String) {
        let now = Instant::now();
        let password = &mut self.passwords[at];
        if let Mood::Failing(status) = mood {
            password.backoff.deferred(now);
            return (status, String::new());
        }
        if at == right {
            *password = Password::default();
            self.tokens += 1;
            let (token, life) = (self.tokens, self.lifetime);
            let text = format!(
                r#"{{"access_token":"a{token}","token_type":"Bearer","expires_in":{life}}}"#
            );
            return (200, text);
        }
        password.backoff.refused(now);
        password.refused.push(now);
        let half_a_day = Duration::from_secs(12 * 3600);
        password.refused.retain(|at| now <= *at + half_a_day);
        let few = password.refused.len() <= 5;
        self.check(
            few,
            "a wrong password sent more than five times in 12 hours",
        );
        let (status, body) = REFUSALS[self.refusal];
        (status, body.to_owned())
    }
}

/// A login that is on its way. Dropped without an answer, it timed out.
struct Login(Server, usize);

impl Drop for Login {
    fn drop(&mut self) {
        self.0.lock().passwords[self.1].is_sent = false;
    }
}

impl Service<Request<Full<Bytes>>> for Server {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let body = request.into_body().collect().await?.to_bytes();
            let form: Vec<_> = url::form_urlencoded::parse(&body).collect();
            let password = form.iter().find(|(name, _)| name == "password");
            let number = password.and_then(|(_, text)| text.strip_prefix('p')?.parse().ok());
            let at: usize = number.expect("one of our passwords");
            let (login, mood, right, latency) = {
                let mut state = server.lock();
                state.arrives(at);
                let login = Login(server.clone(), at);
                (login, state.mood, state.right, state.latency)
            };
            if !latency.is_zero() {
                sleep(latency).await;
            }
            let (status, text) = server.lock().answer(at, mood, right);
            drop(login);
            let mut response = Response::new(Full::from(text));
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            Ok(response)
        })
    }
}
