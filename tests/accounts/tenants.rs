//! Tenants, a token server for them, and an API that checks whose token each request
//! has.

use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt};

use tower_bearer::accounts::{AccountsBearerAuth, AccountsBuilder};
use tower_bearer::testing::{MockBody, TokenServer, TokenServerBuilder, TokenService};
use tower_bearer::{Accounts, AccountsLayer, BoxError, Error, Origins};

use crate::common::{Body, get};

/// Keys whose hashes are all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenant(pub(crate) String);

impl Hash for Tenant {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u8(0);
    }
}

pub(crate) fn tenant(number: usize) -> Tenant {
    Tenant(format!("t{number}"))
}

/// Returns a server with this many tenants.
pub(crate) fn served(tenants: usize, builder: TokenServerBuilder) -> Arc<TokenServer> {
    let add = |builder: TokenServerBuilder, n| builder.user(tenant(n).0, format!("secret of t{n}"));
    Arc::new((0..tenants).fold(builder, add).in_process())
}

pub(crate) fn builder(server: &Arc<TokenServer>) -> AccountsBuilder<Tenant> {
    let server = server.clone();
    Accounts::builder(move |Tenant(name): Tenant| {
        let password = format!("secret of {name}");
        let grant = server.grant_for(name, password);
        async { Ok::<_, BoxError>(grant) }
    })
}

pub(crate) fn accounts(server: &Arc<TokenServer>) -> Accounts<Tenant> {
    builder(server).build().expect("settings")
}

pub(crate) fn layer(server: &TokenServer, accounts: &Accounts<Tenant>) -> AccountsLayer<Tenant> {
    let origins = Origins::only([server.api_url()]).expect("an origin");
    AccountsLayer::new(accounts.clone(), origins)
}

/// An API that panics if a token is not that of the request's tenant.
#[derive(Clone)]
pub(crate) struct Api {
    service: TokenService,
    mixed_up: Arc<AtomicBool>,
}

pub(crate) type Client = AccountsBearerAuth<Api, Tenant>;

pub(crate) fn client(server: &TokenServer, accounts: &Accounts<Tenant>) -> Client {
    layer(server, accounts).layer(Api {
        service: server.service(),
        mixed_up: Arc::default(),
    })
}

impl Api {
    pub(crate) fn assert_not_mixed_up(&self) {
        assert!(!self.mixed_up.load(Ordering::SeqCst), "another's token");
    }
}

impl Service<Request<Body>> for Api {
    type Response = Response<MockBody>;
    type Error = io::Error;
    type Future = <TokenService as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Service::<Request<Body>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Tenant(name) = request.extensions().get().expect("a tenant");
        let token = &request.headers()["authorization"];
        if user(token.to_str().expect("ascii")) != *name {
            self.mixed_up.store(true, Ordering::SeqCst);
            panic!("a request of {name} with another's token");
        }
        self.service.call(request)
    }
}

/// Returns the user that a token names.
pub(crate) fn user(token: &str) -> String {
    use base64::Engine;
    let claims = token.split('.').nth(1).expect("three parts");
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .expect("base64");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    claims["preferred_username"]
        .as_str()
        .expect("a name")
        .to_owned()
}

pub(crate) fn of(tenant: &Tenant) -> Request<Body> {
    let mut request = get("http://localhost/v1/calls");
    request.extensions_mut().insert(tenant.clone());
    request
}

pub(crate) type Answered = Result<StatusCode, Error<io::Error>>;

pub(crate) async fn call(client: &Client, tenant: &Tenant) -> Answered {
    let answered = client.clone().oneshot(of(tenant)).await?;
    Ok(answered.status())
}
