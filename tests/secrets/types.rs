//! The `Debug` of every public type.

use std::cell::RefCell;
use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};

use tower_bearer::config::SourceConfig;
use tower_bearer::grant::{
    ClientAuth, ClientCredentialsGrant, Credential, Endpoint, ExtensionGrant, JwtBearerGrant,
    JwtHeaders, PrivateKey, RefreshTokenGrant, Secret, SecretFile, SignedJwt, TokenExchangeGrant,
};
use tower_bearer::store::{Account, FileStore, RedisStore, StoreKey, StoreWarning};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::transport::DefaultTransport;
use tower_bearer::{
    AccessToken, Accounts, AccountsLayer, BearerAuthLayer, BoxError, BufferBody, BufferedBody,
    CloneBody, EmptyBody, NoReplay, Origins, PasswordGrant, RefreshToken, Rejection, SentToken,
    TokenCache, allow_plain_http,
};

use crate::seen::Seen;

/// Traits and aliases.
const WITHOUT_DEBUG: [&str; 14] = [
    "EndpointUrl",
    "OriginUrl",
    // A function.
    "allow_plain_http",
    "HttpRequest",
    "HttpResponse",
    "IntoEndpoint",
    "SecretSource",
    "Signer",
    "BoxError",
    "RejectionPolicy",
    "ReplayPolicy",
    "TokenSource",
    "TokenStore",
    "Transport",
];

/// Shows the types that no run has shown, then checks that none is missing.
pub(crate) fn show_all(password: &str, seen: &Seen) {
    seen.show("CloneBody", &CloneBody);
    seen.show("EmptyBody", &EmptyBody);
    seen.show("NoReplay", &NoReplay);
    show_policies(seen);
    seen.show("Renewal", &tower_bearer::Renewal::Automatic);
    let boxed = PasswordGrant::voipex("me", password);
    seen.show("BoxTokenSource", &tower_bearer::BoxTokenSource::new(boxed));
    let boxed = tower_bearer::store::MemoryStore::new();
    seen.show(
        "BoxTokenStore",
        &tower_bearer::store::BoxTokenStore::new(boxed),
    );
    show_grants(password, seen);
    show_redis(password, seen);
    show_files(seen);
    show_accounts(password, seen);
    seen.show("DefaultTransport", &DefaultTransport::new());
    let proxied = DefaultTransport::new().proxy(format!("http://me:{password}@proxy:3128"));
    seen.show("DefaultTransport", &proxied);
    seen.show("Origins", &Origins::only(["https://a.example"]));
    for endpoint in [
        format!("https://me:{password}@a.example/token"),
        format!("http://a.example/token?{password}"),
        format!("https://{password}"),
        password.to_owned(),
    ] {
        let error = PasswordGrant::new(endpoint, "api", "me", password).expect_err("refused");
        seen.show("ConfigError", &error);
        seen.show_error(&error);
    }
    for origin in [
        format!("https://me:{password}@a.example"),
        format!("me:{password}@a.example"),
    ] {
        let error = Origins::only([origin]).expect_err("refused");
        seen.show_error(&error);
    }
    let error = PasswordGrant::voipex("me", password).param("password", password);
    seen.show_error(&error.expect_err("refused"));

    let builder = TokenServer::builder()
        .user("me", password)
        .client_secret(password);
    seen.show("TokenServerBuilder", &builder);
    let server = builder.in_process();
    seen.show("TokenService", &server.service());
    seen.show("Counts", &server.counts());
    seen.show(
        "MockResponse",
        &MockResponse::default().param("access_token", format!("{password:?}")),
    );
    seen.show("MockEndpoint", &server.token_endpoint());
    seen.show(
        "ApiRejection",
        &tower_bearer::testing::ApiRejection::default(),
    );
    let mut service = server.service();
    let response = tower::Service::call(
        &mut service,
        http::Request::new(http_body_util::Full::<bytes::Bytes>::default()),
    );
    seen.show("MockResponseFuture", &response);
    seen.show("TokenServer", &server);

    let shown = seen.text();
    let missing: Vec<_> = public()
        .into_iter()
        .filter(|name| !WITHOUT_DEBUG.contains(&name.as_str()))
        .filter(|name| !shown.contains(&format!("{name}: ")))
        // A body is shown as a part of its response.
        .filter(|name| !(name == "MockBody" && shown.contains("MockBody")))
        .collect();
    assert!(missing.is_empty(), "not shown: {missing:?}");
}

/// Shows all grants, and their parts.
fn show_grants(password: &str, seen: &Seen) {
    let url = "https://a.example/token";
    let secret = || Secret::from(password);
    let pem = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    let key = || PrivateKey::from_pem(&pem).expect("a key");
    seen.show("Secret", &secret());
    seen.show("SecretFile", &SecretFile::new("/run/secrets/a"));
    seen.show("Credential", &Credential::from(password));
    seen.show("Credential", &Credential::from(SecretFile::new("/run/a")));
    let plain = || allow_plain_http(format!("http://a.example/{password}"));
    seen.show("PlainHttp", &plain());
    seen.show("PrivateKey", &key());
    let about = SignedJwt::new(key()).issuer(password).audience(url);
    let about = about.subject(password);
    seen.show("SignedJwt", &about);
    let mut headers = JwtHeaders::default();
    headers.set("x5t", password);
    seen.show("JwtHeaders", &headers);
    let issuer = Endpoint::issuer("https://a.example").expect("an issuer");
    seen.show("Endpoint", &issuer);
    let encoded: String = url::form_urlencoded::byte_serialize(password.as_bytes()).collect();
    let keyed = Endpoint::new(format!("{url}?key={encoded}")).expect("an endpoint");
    seen.show("Endpoint", &keyed);
    for auth in [
        ClientAuth::client_secret_basic(password),
        ClientAuth::client_secret_basic_unencoded(password),
        ClientAuth::client_secret_post(password),
        ClientAuth::client_assertion(secret()),
        ClientAuth::private_key_jwt(SignedJwt::new(key())),
    ] {
        seen.show("ClientAuth", &auth);
        let grant = ClientCredentialsGrant::new(url, "api").expect("valid");
        let grant = grant.client_auth(auth);
        seen.show("Grant", &grant);
        seen.show("ClientCredentialsGrant", &grant);
    }
    let token = RefreshToken::new("r".to_owned() + "3fresh").expect("valid");
    let grant = RefreshTokenGrant::new(url, "api", token).expect("valid");
    seen.show("RefreshTokenGrant", &grant);
    let grant = JwtBearerGrant::new(url, secret()).expect("valid");
    seen.show("JwtBearerGrant", &grant);
    let grant = TokenExchangeGrant::new(url, secret()).expect("valid");
    seen.show("TokenExchangeGrant", &grant.actor_token(secret(), "jwt"));
    let grant = ExtensionGrant::new(url, "urn:a").expect("valid");
    let grant = grant.param("password", password).expect("a free name");
    seen.show("ExtensionGrant", &grant);

    let config = serde_json::json!({ "preset": "voipex", "username": "me", "password": password });
    let config: SourceConfig = serde_json::from_value(config).expect("valid");
    seen.show("SourceConfig", &config);
    seen.show("ConfiguredSource", &config.source().expect("a source"));
}

/// Shows the policies, and their results for requests and responses.
fn show_policies(seen: &Seen) {
    seen.show("Rejection", &Rejection::default());
    seen.show("Unauthorized", &Rejection::default());
    seen.show("Statuses", &Rejection::statuses([403]));
    seen.show("When", &Rejection::when(|_, _| false));
    seen.show("Grpc", &Rejection::grpc());
    seen.show("InBody", &Rejection::in_body());
    seen.show("BufferBody", &BufferBody::up_to(10));
    let seen = seen.clone();
    // In a separate runtime.
    let shown = std::thread::spawn(move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().build().expect("a runtime");
        runtime.block_on(show_bodies(&seen));
    });
    shown.join().expect("no panic");
}

type Body = UnsyncBoxBody<Bytes, BoxError>;

thread_local! {
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

async fn show_bodies(seen: &Seen) {
    SEEN.set(Some(seen.clone()));
    let buffer = BufferBody::up_to(100).boxed_by(|body: BufferedBody<Body>| {
        SEEN.with_borrow(|seen| seen.as_ref().expect("set").show("BufferedBody", &body));
        Body::new(body)
    });
    let token = AccessToken::new("a-token").expect("a token");
    let origins = Origins::only(["https://a.example"]).expect("an origin");
    let layer = BearerAuthLayer::new(TokenCache::new(token), origins).replay(buffer);
    let api = tower::service_fn(|request: Request<Body>| async {
        drop(request);
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let request = || {
        let body = Full::<Bytes>::from("a body").map_err(BoxError::from);
        let request = Request::post("https://a.example/").body(Body::new(body));
        request.expect("a request")
    };
    let grpc = layer.clone().reject_on(Rejection::grpc()).layer(api);
    let response = grpc.oneshot(request()).await.expect("an answer");
    seen.show("GrpcBody", response.body());
    let in_body = layer.reject_on(Rejection::in_body()).layer(api);
    let response = in_body.oneshot(request()).await.expect("an answer");
    let token = response.extensions().get::<SentToken>();
    seen.show("SentToken", token.expect("a handle"));
}

fn show_accounts(password: &str, seen: &Seen) {
    let secret = password.to_owned();
    let accounts = Accounts::builder(move |name: String| {
        let grant = PasswordGrant::voipex(name, secret.clone());
        async move { Ok::<_, BoxError>(grant) }
    });
    seen.show("AccountsBuilder", &accounts);
    let accounts = accounts.build().expect("valid");
    let tokens = accounts
        .get_or_create(&"tenant".to_owned())
        .expect("a cache");
    seen.show("TokenCache", &tokens);
    let origins = Origins::only(["https://a.example"]).expect("an origin");
    let layer = AccountsLayer::new(accounts.clone(), origins);
    seen.show("Accounts", &accounts);
    seen.show("AccountsLayer", &layer);
    seen.show("AccountsBearerAuth", &tower::Layer::layer(&layer, ()));
    show_request_head(layer, password, seen);
}

/// Shows what a closure gets of a request with secrets where users put them.
fn show_request_head(layer: AccountsLayer<String>, password: &str, seen: &Seen) {
    let see = seen.clone();
    let layer = layer.account_by(move |request| {
        see.show("RequestHead", request);
        None
    });
    seen.show("AccountsLayer", &layer);
    let service = tower::service_fn(|_: http::Request<()>| async {
        Ok::<_, std::io::Error>(http::Response::new(String::new()))
    });
    let encoded: String = url::form_urlencoded::byte_serialize(password.as_bytes()).collect();
    let request = http::Request::get(format!("https://a.example/{encoded}?key={encoded}"))
        .header("x-api-key", password.as_bytes());
    let request = request.body(()).expect("a request");
    drop(tower::Service::call(
        &mut tower::Layer::layer(&layer, service),
        request,
    ));
}

fn show_redis(password: &str, seen: &Seen) {
    let key = StoreKey::from_bytes([7; 32]);
    seen.show("StoreKey", &key);
    let encoded: String = url::form_urlencoded::byte_serialize(password.as_bytes()).collect();
    let encoded = encoded.replace('+', "%20");
    let builder = RedisStore::builder(format!("redis://app:{encoded}@localhost/0")).key(key);
    seen.show("RedisStoreBuilder", &builder);
    seen.show("RedisStore", &builder.build().expect("a store"));
}

fn show_files(seen: &Seen) {
    let builder = FileStore::folder("tokens").key(StoreKey::from_bytes([7; 32]));
    seen.show("FileStoreBuilder", &builder);
    seen.show("Account", &Account::new("me").held_by("them"));
    seen.show("StoreWarning", &StoreWarning::UnknownKey);
    seen.show("FileStore", &builder.build().expect("a store"));
}

/// Returns the names of all public types.
fn public() -> Vec<String> {
    let mut names = Vec::new();
    // With the module `rejection`.
    let lib = include_str!("../../src/lib.rs").replace("\n    pub use ", "\npub use ");
    for source in [
        lib.as_str(),
        include_str!("../../src/config/mod.rs"),
        include_str!("../../src/grant/mod.rs"),
        include_str!("../../src/transport/mod.rs"),
        include_str!("../../src/store/mod.rs"),
        include_str!("../../src/testing/mod.rs"),
    ] {
        for item in source.split("\npub use ").skip(1) {
            let item = item.split(';').next().unwrap_or_default();
            let list = item.rsplit("::").next().unwrap_or_default();
            let list = list.trim_matches(|c: char| c == '{' || c == '}' || c.is_whitespace());
            names.extend(list.split(',').map(|name| name.trim().to_owned()));
        }
    }
    // Constants are not types.
    names.retain(|name| name.chars().any(char::is_lowercase));
    assert!(names.len() > 25, "{names:?}");
    names
}
