//! How the account of a request is found.

use http::{HeaderMap, Request};
use tower::{Layer, Service, ServiceExt, service_fn};

use tower_bearer::accounts::AccountsBearerAuth;
use tower_bearer::testing::{TokenServer, TokenService};
use tower_bearer::{AccessToken, Accounts, CloneBody, ResponseFuture, TokenErrorKind};

use crate::common::{Body, get};
use crate::tenants::{Tenant, accounts, layer, of, served, tenant, user};

/// An API that returns the headers of the request.
#[derive(Clone)]
struct Mirror;

impl<B> Service<Request<B>> for Mirror {
    type Response = http::Response<HeaderMap>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        Ok(()).into()
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let headers = request.headers().clone();
        std::future::ready(Ok(http::Response::new(headers)))
    }
}

async fn sent<S>(service: S, request: Request<Body>) -> Option<String>
where
    S: Service<Request<Body>, Response = http::Response<HeaderMap>>,
    S::Error: std::fmt::Debug,
{
    let answer = service.oneshot(request).await.expect("an answer");
    let value = answer.body().get("authorization")?;
    Some(value.to_str().expect("ascii").to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_request_gets_the_token_of_the_account_in_its_extensions() {
    let server = served(2, TokenServer::builder());
    let api = layer(&server, &accounts(&server)).layer(Mirror);
    for number in [0, 1, 0, 0, 1] {
        let token = sent(api.clone(), of(&tenant(number))).await;
        assert_eq!(user(&token.expect("a token")), tenant(number).0);
    }
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_service_called_for_many_accounts_never_sends_the_token_of_another() {
    let server = served(4, TokenServer::builder());
    let mut api = layer(&server, &accounts(&server)).layer(Mirror);
    // Often enough in a row for the service to cache an account.
    for number in [0, 0, 0, 1, 1, 1, 0, 2, 3, 2, 2, 0, 0] {
        let token = sent(&mut api, of(&tenant(number))).await;
        assert_eq!(user(&token.expect("a token")), tenant(number).0);
    }
    assert_eq!(server.token_requests(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_closure_finds_the_account_in_a_header() {
    let server = served(2, TokenServer::builder());
    let layer = layer(&server, &accounts(&server)).account_by(|request| {
        let name = request.headers().get("x-tenant")?.to_str().ok()?;
        Some(Tenant(name.to_owned()))
    });
    let api = layer.layer(Mirror);
    let mut request = get("http://localhost/");
    request
        .headers_mut()
        .insert("x-tenant", "t1".parse().expect("a value"));
    let token = sent(api.clone(), request).await.expect("a token");
    assert_eq!(user(&token), "t1");
    let error = api.oneshot(of(&tenant(1))).await.expect_err("no header");
    let error = error.as_token().expect("a token error").kind();
    assert_eq!(error, TokenErrorKind::NoAccount);
}

/// One layer with one closure serves requests of any body, without naming it.
#[tokio::test(start_paused = true)]
async fn a_closure_serves_requests_of_different_bodies() {
    let server = served(2, TokenServer::builder());
    let layer = layer(&server, &accounts(&server)).account_by(|request| {
        assert_eq!(request.method(), http::Method::GET);
        assert_eq!(request.host(), Some("localhost"));
        assert_eq!(request.extension::<u8>(), Some(&7));
        assert!(!format!("{request:?}").contains("t?1"));
        let name = request.path().strip_prefix('/')?;
        Some(Tenant(format!("{name}{}", request.query()?)))
    });
    async fn send<B: Clone>(
        layer: &impl Layer<Mirror, Service: Service<Request<B>, Response = http::Response<HeaderMap>>>,
        body: B,
    ) -> String {
        let request = Request::get("http://localhost/t?1").extension(7_u8);
        let request = request.body(body).expect("a request");
        let answer = layer.layer(Mirror).oneshot(request).await;
        let Ok(answer) = answer else {
            panic!("no answer")
        };
        user(answer.body()["authorization"].to_str().expect("ascii"))
    }
    assert_eq!(send(&layer, String::new()).await, "t1");
    assert_eq!(send(&layer, [0_u8; 4]).await, "t1");
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_account_fails_before_it_is_sent() {
    let server = served(1, TokenServer::builder());
    let never = service_fn(|_: Request<Body>| async {
        panic!("sent");
        #[allow(unreachable_code)]
        Ok::<_, std::io::Error>(http::Response::new(()))
    });
    let api = layer(&server, &accounts(&server)).layer(never);
    let answered = api.oneshot(get("http://localhost/")).await;
    let error = answered.expect_err("no account");
    let error = error.as_token().expect("a token error");
    assert_eq!(error.kind(), TokenErrorKind::NoAccount);
    assert!(!error.is_transient());
    assert!(error.to_string().contains("names no account"), "{error}");
    assert_eq!(server.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_account_is_sent_unchanged_if_the_layer_says_so() {
    let server = served(1, TokenServer::builder());
    let layer = layer(&server, &accounts(&server)).pass_without_account(true);
    let api = layer.layer(Mirror);
    assert_eq!(sent(api.clone(), get("http://localhost/")).await, None);
    assert!(sent(api, of(&tenant(0))).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_request_for_another_origin_or_with_an_authorization_needs_no_account() {
    let server = served(1, TokenServer::builder());
    let accounts = accounts(&server);
    let api = layer(&server, &accounts).layer(Mirror);
    assert_eq!(sent(api.clone(), get("http://elsewhere/")).await, None);
    let mut own = get("http://localhost/");
    let basic = "Basic bWU=".parse().expect("a value");
    own.headers_mut().insert("authorization", basic);
    let value = sent(api.clone(), own).await;
    assert_eq!(value.as_deref(), Some("Basic bWU="));
    let mut foreign = of(&tenant(0));
    *foreign.uri_mut() = "http://elsewhere/".parse().expect("a URI");
    assert_eq!(sent(api, foreign).await, None);
    assert_eq!((server.token_requests(), accounts.len()), (0, 0));
}

/// A key whose clone is not equal to it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shifty(String);

impl Clone for Shifty {
    fn clone(&self) -> Self {
        Self(format!("{}'", self.0))
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_clone_is_another_key_never_gets_the_cache_of_that_one() {
    let accounts = Accounts::builder(|Shifty(name): Shifty| async { AccessToken::new(name) });
    let accounts = accounts.capacity(4).build().expect("settings");
    let key = Shifty("a~".replace('~', ""));
    for _ in 0..10 {
        // Each call creates another account, none of which has this key.
        assert!(accounts.get(&key).is_none());
        assert!(accounts.get_or_create(&key).is_ok());
    }
    assert!(accounts.len() <= 4);
}

/// The future is that of `BearerAuth`: a state machine, not a box.
#[test]
fn the_future_is_not_boxed() {
    type Future<S> = <S as Service<Request<Body>>>::Future;
    fn same<T>(_: fn(T), _: fn(T)) {}
    same::<Future<AccountsBearerAuth<TokenService, Tenant>>>(
        |_| (),
        |_: ResponseFuture<TokenService, CloneBody, Request<Body>>| (),
    );
}
