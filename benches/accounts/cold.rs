//! A cold start: the first requests of ten thousand accounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};
use tower_bearer::testing::TokenServer;
use tower_bearer::{
    Accounts, AccountsLayer, Origins, RefreshToken, TokenError, TokenResponse, TokenSource,
};

use crate::support::BoxError;
use crate::support::summary::Summary;
use crate::support::table::{Table, verdict};

const ACCOUNTS: usize = 10_000;
const CALLERS_EACH: usize = 3;
const AT_ONCE: usize = 100;

/// Counts the fetches that are in progress at a time.
struct Watched<S> {
    source: S,
    asking: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl<S: TokenSource> TokenSource for Watched<S> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        let asking = self.asking.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(asking, Ordering::SeqCst);
        let fetched = self.source.fetch().await;
        self.asking.fetch_sub(1, Ordering::SeqCst);
        fetched
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        self.source.refresh(token).await
    }
}

pub(crate) fn measure(summary: &mut Summary) {
    let server = TokenServer::builder().delay(Duration::from_millis(5));
    let add = |server: tower_bearer::testing::TokenServerBuilder, n| {
        server.user(format!("user {n}"), "secret")
    };
    let server = Arc::new((0..ACCOUNTS).fold(server, add).in_process());
    let (grants, most) = (server.clone(), Arc::new(AtomicUsize::new(0)));
    let (asking, peak) = (Arc::new(AtomicUsize::new(0)), most.clone());
    let accounts = Accounts::builder(move |n: usize| {
        let source = Watched {
            source: grants.grant_for(format!("user {n}"), "secret"),
            asking: asking.clone(),
            most: peak.clone(),
        };
        async { Ok::<_, BoxError>(source) }
    })
    .max_concurrent_fetches(AT_ONCE)
    .build()
    .expect("settings");
    let origins = Origins::only([server.api_url()]).expect("an origin");
    let api = AccountsLayer::new(accounts, origins).layer(server.service());

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let start = Instant::now();
    let answered = runtime.block_on(async {
        let mut callers = JoinSet::new();
        for n in (0..ACCOUNTS * CALLERS_EACH).map(|n| n % ACCOUNTS) {
            let request = Request::get("http://localhost/v1/calls")
                .extension(n)
                .body(Full::<Bytes>::default())
                .expect("a request");
            let answer = api.clone().oneshot(request);
            callers.spawn(async { answer.await.is_ok_and(|it| it.status().is_success()) });
        }
        let answered = callers.join_all().await;
        answered.into_iter().filter(|ok| *ok).count()
    });
    let took = start.elapsed().as_secs_f64();

    println!(
        "A cold start: {CALLERS_EACH} requests for each of {ACCOUNTS} accounts, all at once.\n"
    );
    let mut table = Table::new(&["what", "measured", "target", ""]);
    let mut row = |what: &str, figure: usize, target: usize, met: bool| {
        let met = verdict(met).to_owned();
        table.row(&[what.to_owned(), figure.to_string(), target.to_string(), met]);
    };
    let requests = server.token_requests() as usize;
    let most = most.load(Ordering::SeqCst);
    row("token requests", requests, ACCOUNTS, requests == ACCOUNTS);
    row("most at once", most, AT_ONCE, most <= AT_ONCE);
    let callers = ACCOUNTS * CALLERS_EACH;
    row("requests answered", answered, callers, answered == callers);
    table.print();
    println!("It took {took:.1} s.\n");
    summary.number("cold_start_accounts", ACCOUNTS as f64);
    summary.number("cold_start_token_requests", requests as f64);
    summary.number("cold_start_most_at_once", most as f64);
    summary.number("cold_start_answered", answered as f64);
    summary.number("cold_start_seconds", took);
}
