//! The load: callers of one account, callers of many accounts, and one with a wrong
//! password.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::transport::DefaultTransport;
use tower_bearer::{
    Accounts, AccountsLayer, BearerAuthLayer, ConfigError, Origins, Outcome, PasswordGrant,
    TokenCache, TokenError, TokenErrorKind,
};

use crate::rules::{MAX_BACKOFF, Outages, Seen};
use crate::server::{PASSWORD, Server, USERS};

/// Callers of each kind, and their pause between two requests.
const CALLERS: u64 = 8;
const REST: Duration = Duration::from_millis(10);
/// This many accounts are in use at a time, and this often one of them is replaced
/// by another.
const IN_USE: u64 = 30;
const CHANGE: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(10);
/// The account whose password is wrong.
const WRONG: &str = "user-wrong";

pub(crate) struct Load {
    pub(crate) seen: Arc<Seen>,
    pub(crate) outages: Arc<Outages>,
    pub(crate) accounts: Accounts<String>,
    pub(crate) tokens: TokenCache,
    stop: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

type HyperClient = Client<HttpConnector, Empty<Bytes>>;

impl Load {
    /// Starts the load, within a runtime.
    pub(crate) fn start(server: &Server) -> Result<Self, ConfigError> {
        let grant =
            |url: &str, user: &str, password: &str| PasswordGrant::new(url, "api", user, password);
        let transport = DefaultTransport::new();
        let half = |builder: tower_bearer::TokenCacheBuilder| {
            // Of five seconds, one would be too short a time for an endpoint to be away.
            builder
                .renew_before(0.5, Duration::from_secs(300))
                .backoff(Duration::from_millis(250), MAX_BACKOFF)
        };
        let own = grant(&server.token_url, "me", PASSWORD)?.transport(transport.clone());
        let tokens = half(TokenCache::builder(own)).build()?;
        let url = server.token_url.clone();
        let accounts = Accounts::builder(move |user: String| {
            let password = if user == WRONG { "wrong" } else { PASSWORD };
            let grant = grant(&url, &user, password).map(|it| it.transport(transport.clone()));
            async move { grant }
        })
        .settings(half)
        .idle_timeout(IDLE)
        .capacity(60)
        .build()?;
        let origins = Origins::only([&server.api_url])?;
        let hyper = || -> HyperClient { Client::builder(TokioExecutor::new()).build_http() };
        let one = BearerAuthLayer::new(tokens.clone(), origins.clone()).layer(hyper());
        let many = AccountsLayer::new(accounts.clone(), origins).layer(hyper());
        let mut load = Self {
            seen: Arc::default(),
            outages: Arc::default(),
            accounts,
            tokens,
            stop: Arc::default(),
            callers: JoinSet::new(),
        };
        let url = format!("{}/v1/calls", server.api_url);
        let start = Instant::now();
        for caller in 0..CALLERS {
            load.call(one.clone(), &url, true, REST, |_| None);
            load.call(many.clone(), &url, false, REST, move |sent| {
                let place = (sent * 7 + caller * 11) % IN_USE;
                let changes = start.elapsed().as_secs() / CHANGE.as_secs();
                let user = (changes + place) % USERS;
                Some(format!("user-{user}"))
            });
        }
        let rest = Duration::from_millis(500);
        load.call(many, &url, false, rest, |_| Some(WRONG.to_owned()));
        Ok(load)
    }

    fn call<S, E>(
        &mut self,
        mut service: S,
        url: &str,
        in_use: bool,
        rest: Duration,
        account: impl Fn(u64) -> Option<String> + Send + 'static,
    ) where
        S: Service<Request<Empty<Bytes>>, Response = Response<Incoming>, Error = E>
            + Send
            + 'static,
        S::Future: Send,
        E: std::error::Error + Send + Sync + 'static,
    {
        let (seen, outages, stop) = (self.seen.clone(), self.outages.clone(), self.stop.clone());
        let url = url.to_owned();
        self.callers.spawn(async move {
            let mut sent = 0;
            while !stop.load(Relaxed) {
                let request = Request::get(&url).body(Empty::new());
                let mut request = request.expect("a request");
                let account = account(sent);
                let is_wrong = account.as_deref() == Some(WRONG);
                if let Some(account) = account {
                    request.extensions_mut().insert(account);
                }
                sent += 1;
                let began = Instant::now();
                let answer = match service.ready().await {
                    Ok(ready) => ready.call(request).await,
                    Err(error) => Err(error),
                };
                let (counter, what) = match answer {
                    Ok(answer) if answer.status().is_success() && !is_wrong => {
                        let outcome = answer.extensions().get().copied();
                        if outcome == Some(Outcome::Replayed) {
                            seen.replayed.fetch_add(1, Relaxed);
                        }
                        answer.into_body().collect().await.expect("a body");
                        (&seen.served, None)
                    }
                    Ok(answer) => {
                        let outcome = answer.extensions().get::<Outcome>().copied();
                        let what = format!("{} {outcome:?}", answer.status());
                        // The API's own answer, where no newer token is to be had.
                        let renewal_failed = outcome == Some(Outcome::RenewalFailed);
                        let replayed = outcome == Some(Outcome::Replayed);
                        if renewal_failed && outages.permit_failure(began, false) {
                            (&seen.permitted, None)
                        } else if replayed && outages.permit_second_rejection(began) {
                            (&seen.twice, None)
                        } else {
                            (&seen.failed, Some(what))
                        }
                    }
                    Err(error) => match TokenError::find(&error).map(TokenError::kind) {
                        Some(TokenErrorKind::Refused) if is_wrong => (&seen.refused, None),
                        Some(TokenErrorKind::Connect) if outages.permit_failure(began, in_use) => {
                            (&seen.permitted, None)
                        }
                        _ => {
                            let cause = std::error::Error::source(&error);
                            let cause = cause.map(ToString::to_string).unwrap_or_default();
                            (&seen.failed, Some(format!("{error}: {cause}")))
                        }
                    },
                };
                counter.fetch_add(1, Relaxed);
                if let Some(what) = what {
                    println!("failed after {:?}: {what}", began.elapsed());
                }
                sleep(rest).await;
            }
        });
    }

    /// Lets all callers end.
    pub(crate) async fn stop(&mut self) {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("no panic");
        }
    }
}
