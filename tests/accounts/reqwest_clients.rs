//! The layer over `reqwest::Client` and in a reqwest-middleware stack, over sockets.

use std::sync::Arc;

use reqwest_middleware::ClientBuilder;
use tower::{Layer, ServiceExt};
use tower_bearer::testing::TokenServer;
use tower_bearer::{Accounts, AccountsLayer, BoxError, Origins, TokenError, TokenErrorKind};

#[derive(Clone, PartialEq, Eq, Hash)]
struct Name(&'static str);

#[tokio::test]
async fn reqwest_middleware_sends_each_requests_own_token_and_replays_with_it() {
    let server = TokenServer::builder().user("anna", "a").user("bert", "b");
    let server = Arc::new(server.start().await.expect("a socket"));
    let grants = server.clone();
    let accounts = Accounts::new(move |Name(name): Name| {
        let grant = grants.grant_for(name, &name[..1]);
        async { Ok::<_, BoxError>(grant) }
    });
    let origins = Origins::only([server.api_url()]).expect("an origin");
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(AccountsLayer::new(accounts.clone(), origins))
        .build();
    let call = |name| {
        let request = client.get(format!("{}/calls", server.api_url()));
        request.with_extension(Name(name)).send()
    };
    for name in ["anna", "bert", "anna"] {
        assert!(call(name).await.expect("an answer").status().is_success());
    }
    server.revoke_access_tokens();
    assert!(call("bert").await.expect("an answer").status().is_success());
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.refresh_grants), (2, 1));
    let error = client.get(server.api_url()).send().await;
    let error = error.expect_err("no account");
    let error = TokenError::find(&error).expect("a token error");
    assert_eq!(error.kind(), TokenErrorKind::NoAccount);
}

#[tokio::test]
async fn a_closure_serves_reqwest_as_a_client_and_in_a_middleware_stack() {
    let server = TokenServer::builder().user("anna", "a").user("bert", "b");
    let server = Arc::new(server.start().await.expect("a socket"));
    let grants = server.clone();
    let accounts = Accounts::new(move |name: String| {
        let grant = grants.grant_for(&name, &name[..1]);
        async { Ok::<_, BoxError>(grant) }
    });
    let origins = Origins::only([server.api_url()]).expect("an origin");
    let layer = AccountsLayer::new(accounts.clone(), origins).account_by(|request| {
        assert_eq!(request.method(), reqwest::Method::GET);
        assert_eq!(request.host(), Some("127.0.0.1"));
        let by_extension = request.extension().map(|Name(name)| (*name).to_owned());
        by_extension.or_else(|| request.query().map(str::to_owned))
    });
    let client = reqwest::Client::new();
    let url = format!("{}/calls", server.api_url());
    let api = layer.layer(client.clone());
    let request = client.get(format!("{url}?anna")).build().expect("valid");
    let answer = api.clone().oneshot(request).await.expect("an answer");
    assert!(answer.status().is_success());
    let request = client.get(&url).build().expect("valid");
    let error = api.oneshot(request).await.expect_err("no account");
    let error = TokenError::find(&error).expect("a token error");
    assert_eq!(error.kind(), TokenErrorKind::NoAccount);

    let client = ClientBuilder::new(client).with(layer).build();
    let request = client.get(&url).with_extension(Name("bert"));
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success());
    assert!(accounts.get(&"anna".to_owned()).is_some());
    assert!(accounts.get(&"bert".to_owned()).is_some());
    assert_eq!(accounts.len(), 2);
}
