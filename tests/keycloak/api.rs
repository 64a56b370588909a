//! A protected API that accepts Keycloak's tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{RwLock, RwLockWriteGuard, Semaphore};
use tokio::task::JoinHandle;

use crate::world::{RESOURCE_SERVER, oidc};

/// How many requests to Keycloak are in progress at a time.
const AT_ONCE: usize = 32;

/// How the API finds out whether a token is live.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    /// It asks the introspection endpoint (RFC 7662) about each request, so what
    /// an administrator does shows at once.
    Introspection,
    /// By the expiry that the token states. For the cases in which Keycloak is
    /// not there to be asked.
    Expiry,
}

/// Ends with the last handle on it.
pub(crate) struct Api {
    pub(crate) url: String,
    asked: Arc<Asked>,
    task: JoinHandle<()>,
}

struct Asked {
    check: Check,
    introspection: String,
    client: reqwest::Client,
    places: Semaphore,
    gate: RwLock<()>,
    ok: AtomicU64,
    unauthorized: AtomicU64,
}

impl Api {
    /// An API on a free port whose tokens come from this realm of a server.
    pub(crate) async fn start(server: &str, realm: &str, check: Check) -> Self {
        let asked = Arc::new(Asked {
            check,
            introspection: format!("{}/introspect", oidc(server, realm, "token")),
            client: reqwest::Client::new(),
            places: Semaphore::new(AT_ONCE),
            gate: RwLock::new(()),
            ok: AtomicU64::new(0),
            unauthorized: AtomicU64::new(0),
        });
        let app = Router::new()
            .route("/", any(answer))
            .with_state(asked.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let task = tokio::spawn(async { axum::serve(listener, app).await.expect("serves") });
        Self { url, asked, task }
    }

    /// Makes requests wait at the API until the guard is dropped, once those that
    /// are being checked have their answer.
    ///
    /// Keycloak has a race of its own: a check that overlaps with the end of its
    /// session can put the session back into Keycloak's cache, which calls the token
    /// active from then on although the session is gone.
    pub(crate) async fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.asked.gate.write().await
    }

    /// How many requests were accepted, and how many were answered with 401.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let Asked {
            ok, unauthorized, ..
        } = &*self.asked;
        (ok.load(Relaxed), unauthorized.load(Relaxed))
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(asked): State<Arc<Asked>>, headers: HeaderMap) -> Response<String> {
    let token = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let live = match token {
        None => Some(false),
        Some(token) => match asked.check {
            Check::Introspection => introspect(&asked, token).await,
            Check::Expiry => Some(has_not_expired(token)),
        },
    };
    let answer = Response::builder();
    let answer = match live {
        Some(true) => {
            asked.ok.fetch_add(1, Relaxed);
            answer.status(StatusCode::OK)
        }
        Some(false) => {
            asked.unauthorized.fetch_add(1, Relaxed);
            let challenge = "Bearer realm=\"cases\", error=\"invalid_token\"";
            answer
                .status(StatusCode::UNAUTHORIZED)
                .header("www-authenticate", challenge)
        }
        None => answer.status(StatusCode::BAD_GATEWAY),
    };
    answer.body(String::new()).expect("an answer")
}

/// What Keycloak says of a token, if it says anything.
async fn introspect(asked: &Asked, token: &str) -> Option<bool> {
    let _open = asked.gate.read().await;
    let _place = asked.places.acquire().await.ok()?;
    let (id, secret) = RESOURCE_SERVER;
    let request = asked.client.post(&asked.introspection);
    let request = request
        .basic_auth(id, Some(secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}"));
    let answer = request.send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let answer: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
    answer["active"].as_bool()
}

fn has_not_expired(token: &str) -> bool {
    let claims = token.split('.').nth(1).expect("a JWT");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a date");
    claims["exp"].as_u64().expect("an expiry") > now.as_secs()
}
