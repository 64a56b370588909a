//! The HTTP clients between a program, the token endpoint and the API.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::grant::ClientAuth;
use tower_bearer::store::{self, Acquire, Acquired, Completion, MemoryStore, TokenStore};
use tower_bearer::testing::TokenServer;
use tower_bearer::transport::DefaultTransport;
use tower_bearer::{
    AccessToken, BearerAuthLayer, BoxError, Error, Origins, PasswordGrant, RefreshToken,
    TokenCache, TokenError, TokenResponse, TokenSource, VoipexImpersonation,
};

use crate::forms::Secret;
use crate::seen::Seen;

/// Makes the authentication of a client from its secret.
pub(crate) type MakeClientAuth = fn(&str) -> ClientAuth;

pub(crate) const CLIENT_AUTHS: [MakeClientAuth; 2] = [
    |s| ClientAuth::client_secret_basic(s),
    |s| ClientAuth::client_secret_post(s),
];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    InProcess,
    Hyper { http2: bool },
    Reqwest,
    ReqwestMiddleware,
}

pub(crate) struct Account<'a> {
    server: &'a TokenServer,
    password: &'a Secret,
    client: &'a Secret,
    auth: MakeClientAuth,
}

impl<'a> Account<'a> {
    pub(crate) fn new(server: &'a TokenServer, password: &'a Secret, client: &'a Secret) -> Self {
        Self {
            server,
            password,
            client,
            auth: CLIENT_AUTHS[0],
        }
    }

    pub(crate) fn auth(mut self, auth: MakeClientAuth) -> Self {
        self.auth = auth;
        self
    }

    /// Returns the cache of a user for whom the account acts, with the password as a
    /// further member of the exchange.
    pub(crate) fn cache_of_user(&self, way: Way, login: &str, seen: &Seen) -> TokenCache {
        let user = VoipexImpersonation::new(self.cache(way, seen), login)
            .authorization_server(self.server.api_url())
            .expect("an origin")
            .param("pin", self.password.text())
            .expect("a free name")
            .timeout(Duration::from_millis(300))
            .expect("a timeout");
        seen.show("VoipexImpersonation", &user);
        match way {
            Way::InProcess => shown_cache(user.transport(self.server.service()), seen),
            Way::Hyper { http2 } => shown_cache(user.transport(hyper(http2)), seen),
            Way::Reqwest | Way::ReqwestMiddleware => {
                shown_cache(user.transport(TRANSPORT.clone()), seen)
            }
        }
    }

    pub(crate) fn cache(&self, way: Way, seen: &Seen) -> TokenCache {
        let grant = PasswordGrant::new(self.server.token_url(), "api", "me", self.password.text())
            .expect("a grant")
            .client_auth((self.auth)(self.client.text()))
            .logout_endpoint(self.server.token_url().replace("/token", "/logout"))
            .expect("an endpoint")
            .timeout(Duration::from_millis(300))
            .expect("a timeout");
        match way {
            Way::InProcess => shown_cache(grant.transport(self.server.service()), seen),
            Way::Hyper { http2 } => shown_cache(grant.transport(hyper(http2)), seen),
            Way::Reqwest | Way::ReqwestMiddleware => {
                shown_cache(grant.transport(TRANSPORT.clone()), seen)
            }
        }
    }
}

// Shared, because reading the system's certificates takes a while.
static TRANSPORT: LazyLock<DefaultTransport> = LazyLock::new(DefaultTransport::new);
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);

fn hyper(http2: bool) -> Client<HttpConnector, Full<Bytes>> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(http2).build_http()
}

/// A source that shows everything it returns, and keeps the tokens as secrets.
struct ShownSource<S> {
    grant: S,
    seen: Seen,
}

fn shown_cache<S: TokenSource + std::fmt::Debug>(grant: S, seen: &Seen) -> TokenCache {
    seen.show("PasswordGrant", &grant);
    let seen = seen.clone();
    let store = ShownStore(MemoryStore::new(), seen.clone());
    seen.show("MemoryStore", &store.0);
    let builder = TokenCache::builder(ShownSource {
        grant,
        seen: seen.clone(),
    })
    .label("secrets")
    .store(store, "account");
    seen.show("TokenCacheBuilder", &builder);
    builder.build().expect("settings")
}

impl<S: TokenSource> ShownSource<S> {
    fn watch(
        &self,
        answer: Result<TokenResponse, TokenError>,
    ) -> Result<TokenResponse, TokenError> {
        match &answer {
            Ok(response) => {
                self.seen.keep(response.access_token().secret());
                self.seen.show("TokenResponse", response);
                self.seen.show("AccessToken", response.access_token());
                if let Some(refresh_token) = response.refresh_token() {
                    self.seen.keep(refresh_token.secret());
                    self.seen.show("RefreshToken", refresh_token);
                }
            }
            Err(error) => self.seen.show_error(error),
        }
        answer
    }
}

impl<S: TokenSource> TokenSource for ShownSource<S> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.watch(self.grant.fetch().await)
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.watch(self.grant.refresh(token).await)
    }

    async fn revoke(
        &self,
        access_token: Option<&AccessToken>,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        self.grant.revoke(access_token, refresh_token).await
    }
}

/// A store that shows every call and its result.
struct ShownStore(MemoryStore, Seen);

impl TokenStore for ShownStore {
    async fn acquire(
        &self,
        account: &store::Account,
        acquire: &Acquire,
    ) -> Result<Acquired, BoxError> {
        self.1.show("Acquire", acquire);
        let acquired = self.0.acquire(account, acquire).await?;
        self.1.show("Acquired", &acquired);
        match &acquired {
            Acquired::Token(entry) | Acquired::Failure(entry) => {
                self.1.show("Entry", entry);
                self.1.show("Payload", &entry.payload);
            }
            Acquired::Lease(lease) => self.1.show("Lease", lease),
            _ => {}
        }
        Ok(acquired)
    }

    async fn complete(
        &self,
        account: &store::Account,
        completion: &Completion,
    ) -> Result<bool, BoxError> {
        self.1.show("Completion", completion);
        for stored in completion.token.iter().chain(&completion.failure) {
            self.1.show("Stored", stored);
            self.1.show("Payload", &stored.payload);
        }
        self.0.complete(account, completion).await
    }

    async fn withdraw(&self, account: &store::Account, nonce: u64) -> Result<(), BoxError> {
        self.0.withdraw(account, nonce).await
    }

    fn changes(&self, account: &store::Account) -> watch::Receiver<()> {
        self.0.changes(account)
    }
}

/// Calls the API and shows everything about it. Returns whether it succeeded.
pub(crate) async fn call(way: Way, tokens: &TokenCache, server: &TokenServer, seen: &Seen) -> bool {
    let uri: Uri = format!("{}/calls", server.api_url())
        .parse()
        .expect("a URI");
    let origins = Origins::only([server.api_url()]).expect("an origin");
    let layer = BearerAuthLayer::new(tokens.clone(), origins);
    seen.show("BearerAuthLayer", &layer);
    match way {
        Way::InProcess => through(layer, server.service(), uri, seen).await,
        Way::Hyper { http2 } => through(layer, hyper(http2), uri, seen).await,
        Way::Reqwest => {
            let shown = seen.clone();
            let client = tower::ServiceBuilder::new()
                .map_request(move |request: reqwest::Request| {
                    shown.show("reqwest::Request", &request);
                    request
                })
                .service(CLIENT.clone());
            let request =
                reqwest::Request::new(http::Method::GET, uri.to_string().parse().expect("a URL"));
            match layer.layer(client).oneshot(request).await {
                Ok(response) => {
                    seen.show("reqwest::Response", &response);
                    response.status().is_success()
                }
                Err(error) => failed(&error, seen),
            }
        }
        Way::ReqwestMiddleware => {
            let client = reqwest_middleware::ClientBuilder::new(CLIENT.clone());
            let client = client.with(layer).with(ShowRequest(seen.clone())).build();
            seen.show("ClientWithMiddleware", &client);
            match client.get(uri.to_string()).send().await {
                Ok(response) => {
                    seen.show("reqwest::Response", &response);
                    response.status().is_success()
                }
                Err(error) => failed(&error, seen),
            }
        }
    }
}

/// The innermost middleware, which shows each request.
struct ShowRequest(Seen);

#[async_trait::async_trait]
impl reqwest_middleware::Middleware for ShowRequest {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut http::Extensions,
        next: reqwest_middleware::Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        self.0.show("reqwest::Request", &request);
        next.run(request, extensions).await
    }
}

async fn through<S, B>(layer: BearerAuthLayer, client: S, uri: Uri, seen: &Seen) -> bool
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>> + Clone + std::fmt::Debug,
    S::Error: std::error::Error + 'static,
    B: http_body::Body + std::fmt::Debug,
{
    let shown = seen.clone();
    let client = tower::ServiceBuilder::new()
        .map_request(move |request: Request<Full<Bytes>>| {
            shown.show("http::Request", &request);
            request
        })
        .service(client);
    let mut api = layer.layer(client);
    seen.show("BearerAuth", &api);
    let request = Request::get(uri).body(Full::default()).expect("a request");
    let future = api.ready().await.expect("ready").call(request);
    seen.show("ResponseFuture", &future);
    match future.await {
        Ok(response) => {
            seen.show("http::Response", &response);
            seen.show(
                "Outcome",
                &response.extensions().get::<tower_bearer::Outcome>(),
            );
            response.status().is_success()
        }
        Err(error) => failed(&error, seen),
    }
}

fn failed(error: &(dyn std::error::Error + 'static), seen: &Seen) -> bool {
    seen.show_error(error);
    if let Some(error) = TokenError::find(error) {
        seen.show("TokenError", error);
        seen.show("TokenErrorKind", &error.kind());
        seen.show("Error", &Error::<std::io::Error>::Token(error.clone()));
    }
    false
}
