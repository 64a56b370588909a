//! Caches of one account in this process, each with its own store.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_bearer::store::RedisStore;
use tower_bearer::testing::TokenServer;
use tower_bearer::{BearerAuthLayer, Origins, PasswordGrant, TokenCache};

use crate::fleet::LEASE;
use crate::member::Report;

pub(crate) struct Caches(JoinSet<Report>);

impl Caches {
    /// Starts the caches, which call the API for this long.
    pub(crate) fn start(
        server: &TokenServer,
        stores: impl IntoIterator<Item = RedisStore>,
        span: Duration,
    ) -> Self {
        let mut calls = JoinSet::new();
        for store in stores {
            let (url, user) = (server.token_url(), server.username());
            let account = PasswordGrant::new(url, "api", user, server.password());
            let tokens = TokenCache::builder(account.expect("a grant"))
                .store(store, user)
                .lease_duration(LEASE)
                .source_timeout(LEASE)
                .store_timeout(Duration::from_millis(500))
                .build()
                .expect("a cache");
            calls.spawn(call(tokens, server.api_url().to_owned(), span));
        }
        Self(calls)
    }

    pub(crate) async fn report(self) -> Report {
        let mut all = Report::default();
        let reports = self.0.join_all().await;
        reports.into_iter().for_each(|report| all.add(report));
        all
    }
}

async fn call(tokens: TokenCache, url: String, span: Duration) -> Report {
    let origins = Origins::only([&url]).expect("an origin");
    let client = reqwest::Client::new();
    let mut api = ServiceBuilder::new()
        .layer(BearerAuthLayer::new(tokens.clone(), origins))
        .service(client.clone());
    let (mut report, start) = (Report::default(), Instant::now());
    while start.elapsed() < span {
        let request = client.get(format!("{url}/calls")).build().expect("built");
        report.requests += 1;
        let answer = api.ready().await.expect("ready").call(request).await;
        let failure = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(failure) = failure {
            report.failed += 1;
            *report.errors.entry(failure).or_default() += 1;
        }
        if let Some(error) = tokens.status().store_error {
            report.alone += 1;
            *report.errors.entry(error.to_string()).or_default() += 1;
        }
        if let Ok(token) = tokens.token().await {
            let mut number = DefaultHasher::new();
            token.secret().hash(&mut number);
            report.tokens.insert(number.finish());
        }
        sleep(Duration::from_millis(20)).await;
    }
    report
}
