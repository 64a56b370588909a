//! The app: its routes, and what its callers see of a failure.

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode, Uri};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tower::ServiceExt;
use tower_bearer::accounts::AccountsBearerAuth;
use tower_bearer::{Error, TokenCache, TokenError, TokenErrorKind};

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The user of a request, and the key of the user's tokens. An extension of the
/// app's requests, and of those that it makes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Login(pub(crate) String);

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) api: AccountsBearerAuth<HttpClient, Login>,
    pub(crate) access: TokenCache,
    pub(crate) calls: Uri,
    pub(crate) sms: Uri,
}

impl App {
    pub(crate) fn router(
        self,
        metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
    ) -> Router {
        Router::new()
            .route("/calls", get(calls))
            .route("/sms", post(send_sms))
            .layer(from_fn(log_in))
            .route("/readyz", get(readyz))
            .with_state(self)
            .route("/metrics", get(async move || metrics()))
    }

    /// Calls VoIPex as this user.
    async fn call(self, login: Login, method: Method, uri: Uri, body: Bytes) -> Response {
        let request = http::Request::builder().method(method).uri(uri);
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .extension(login);
        let request = request.body(Full::new(body)).expect("a request");
        match self.api.oneshot(request).await {
            Ok(answer) if answer.status().is_server_error() => {
                (StatusCode::BAD_GATEWAY, "VoIPex fails").into_response()
            }
            Ok(answer) => answer.map(axum::body::Body::new).into_response(),
            Err(Error::Token(error)) if error.kind() == TokenErrorKind::Refused => {
                (StatusCode::FORBIDDEN, error.to_string()).into_response()
            }
            Err(Error::Token(error)) => unavailable(&error),
            Err(Error::Inner(_)) => {
                (StatusCode::BAD_GATEWAY, "VoIPex cannot be reached").into_response()
            }
        }
    }
}

/// Replaces the app's own sessions: the header names the user.
async fn log_in(mut request: Request, next: Next) -> Response {
    let login = request.headers().get("x-user");
    let Some(login) = login.and_then(|login| login.to_str().ok()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let login = Login(login.to_owned());
    request.extensions_mut().insert(login);
    next.run(request).await
}

async fn calls(State(app): State<App>, Extension(login): Extension<Login>) -> Response {
    let uri = app.calls.clone();
    app.call(login, Method::GET, uri, Bytes::new()).await
}

async fn send_sms(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    body: Bytes,
) -> Response {
    let uri = app.sms.clone();
    app.call(login, Method::POST, uri, body).await
}

/// Ready as soon as the access has a token: a probe alone starts the login.
async fn readyz(State(app): State<App>) -> Result<(), Response> {
    app.access.ready().map_err(|error| unavailable(&error))
}

fn unavailable(error: &TokenError) -> Response {
    // Whole seconds, rounded up; one second if nothing is known.
    let seconds = error
        .retry_after()
        .map_or(1.0, |pause| pause.as_secs_f64().ceil());
    let head = [(RETRY_AFTER, seconds.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, head, error.to_string()).into_response()
}
