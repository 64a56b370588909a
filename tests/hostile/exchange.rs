//! A whole exchange: bytes from the token endpoint, through an HTTP client, a grant,
//! a cache and the layer, to the callers' results.
//!
//! Records end at 0x1e. The first is the API's, one letter for each response (`x` a
//! bare 401, `b` one that names another scheme, `s` a 500, anything else a 200), and
//! 200 from then on. Each further record is what a connection to the endpoint
//! answers before it is closed; 0x1f is a second of silence. After the last one the
//! endpoint is gone.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{
    BearerAuthLayer, Error, Origins, PasswordGrant, RefreshToken, TokenCache, TokenError,
    TokenErrorKind, TokenResponse, TokenSource,
};

use crate::paused;
use crate::pipe::{Connector, Script};
use crate::shown::{self, Words};
use crate::token_answer::{self, is_access_token};

const PASSWORD: &str = "hunter2";
const CALLS: usize = 3;
/// Callers wait for 30 s at most, and once more for a replay.
const PATIENCE: Duration = Duration::from_secs(61);
const MAX_RESPONSE: usize = 1024;

pub(crate) fn check(input: &[u8]) {
    let mut records = input.split(|byte| *byte == 0x1e);
    let api = records.next().unwrap_or_default();
    let script = Script::new(records);
    // Takes a separate runtime.
    LazyLock::force(&WORDS);
    paused::block_on(calls(api, &script, input));
}

/// What an endpoint with this one answer leads to, if to an error.
fn error_of(answer: &[u8]) -> Option<TokenError> {
    let tokens = TokenCache::new(grant(&Script::new([answer])));
    paused::block_on(async { tokens.token().await.err() })
}

fn grant(script: &Script) -> impl TokenSource {
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .retry_canceled_requests(false)
        .build(Connector(script.clone()));
    let grant = PasswordGrant::voipex("me", PASSWORD).transport::<Client<_, Full<Bytes>>>(client);
    grant.max_response(MAX_RESPONSE).expect("a cap")
}

async fn calls(api: &[u8], script: &Script, input: &[u8]) {
    let asked = Asked::default();
    let tokens = TokenCache::new(Watched {
        grant: grant(script),
        asked: asked.clone(),
    });
    let origins = Origins::only(["https://api.example.com"]).expect("an origin");
    let mut api = BearerAuthLayer::new(tokens, origins).layer(answering(api, &asked));
    let mut refused = false;
    for _ in 0..CALLS {
        if refused {
            // Longer than the pause after a transient failure.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let (start, before) = (Instant::now(), asked.count());
        let request = Request::get("https://api.example.com/").body(());
        let api = api.ready().await.expect("ready");
        let called = api.call(request.expect("a request")).await;
        assert!(start.elapsed() <= PATIENCE, "waited {:?}", start.elapsed());
        // At most with a refresh token and with the password, before the
        // request and after a 401, and once behind it.
        assert!(
            asked.count() - before <= 6,
            "{} requests",
            asked.count() - before
        );
        if refused {
            assert_eq!(asked.count(), before, "a refused password is sent again");
        }
        refused = match called {
            Ok(_) => false,
            Err(Error::Inner(error)) => match error {},
            Err(Error::Token(error)) => {
                WORDS.are_all_of(&error, input);
                let shown = shown::whole(&error).to_lowercase();
                assert!(!shown.contains(PASSWORD), "{shown}");
                // Among them are the assertions of the connector.
                assert_ne!(error.kind(), TokenErrorKind::Panicked);
                error.kind() == TokenErrorKind::Refused
            }
        };
    }
    let connections = script.connections();
    assert!(
        connections <= 7 * asked.count(),
        "{connections} connections"
    );
    let redirects = input.windows(3).any(|w| w == b"307" || w == b"308");
    // One that is closed under a request is followed by a second one.
    let each = asked.count()..=2 * asked.count();
    assert!(
        redirects || each.contains(&connections),
        "{connections} connections"
    );
}

/// An API that checks the requests it gets.
fn answering(
    answers: &[u8],
    asked: &Asked,
) -> impl Service<Request<()>, Response = Response<String>, Error = Infallible, Future: Send> + Clone
{
    let answers = Arc::new(Mutex::new(VecDeque::from(answers.to_vec())));
    let asked = asked.clone();
    tower::service_fn(move |request: Request<()>| {
        let header = request.headers()[AUTHORIZATION].to_str().expect("ASCII");
        let token = header.strip_prefix("Bearer ").expect("a bearer token");
        assert!(
            is_access_token(token) && token.len() <= MAX_RESPONSE,
            "{token:?}"
        );
        assert!(asked.yielded(token), "a token from nowhere");
        let mut response = Response::new(String::new());
        let next = answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        *response.status_mut() = match next {
            Some(b'x' | b'b') => StatusCode::UNAUTHORIZED,
            Some(b's') => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        };
        if next == Some(b'b') {
            let basic = HeaderValue::from_static("Basic");
            response.headers_mut().insert(WWW_AUTHENTICATE, basic);
        }
        async { Ok(response) }
    })
}

/// How often a source was called, and what it yielded.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<(usize, HashSet<String>)>>);

impl Asked {
    fn up(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn yielded(&self, token: &str) -> bool {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.1.contains(token)
    }

    fn note(&self, answer: &Result<TokenResponse, TokenError>) {
        if let Ok(answer) = answer {
            let token = answer.access_token().secret().to_owned();
            let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            asked.1.insert(token);
        }
    }
}

struct Watched<S> {
    grant: S,
    asked: Asked,
}

impl<S: TokenSource> TokenSource for Watched<S> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.asked.up();
        let answer = self.grant.fetch().await;
        self.asked.note(&answer);
        answer
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.asked.up();
        let answer = self.grant.refresh(token).await;
        self.asked.note(&answer);
        answer
    }
}

/// The words of errors about harmless responses. The HTTP client has words of its
/// own, parts of which the input may contain by chance, so only a whole phrase
/// counts as quoted.
static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let heads: [&[u8]; 14] = [
        b"",
        b"\x00",
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\n\x00",
        b"HTTP/3.7 200 OK\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 101 \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n",
        b"\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f",
    ];
    let mut errors = token_answer::harmless();
    errors.extend(heads.iter().filter_map(|head| error_of(head)));
    for location in [
        "",
        "Location: /\r\n",
        "Location: ftp://a/\r\n",
        "Location: //me@auth.voipex.io/\r\n",
    ] {
        let answer = format!("HTTP/1.1 307 \r\n{location}\r\n\x1f");
        errors.extend(error_of(answer.as_bytes()));
        let script = Script::new([answer.as_bytes(); 8]);
        errors.extend(paused::block_on(grant(&script).fetch()).err());
    }
    Words::of(24, &errors)
});
