//! The layer as a reqwest-middleware `Middleware`, over sockets.

use std::sync::Arc;

use reqwest_middleware::ClientBuilder;
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
