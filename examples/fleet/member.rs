//! One process of a fleet: calls the API for a while, and reports.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_bearer::store::RedisStore;
use tower_bearer::transport::DefaultTransport;
use tower_bearer::{BearerAuthLayer, Origins, PasswordGrant, TokenCache};

/// The variable that makes a process a member, with its settings.
pub(crate) const VARIABLE: &str = "FLEET_MEMBER";
/// Printed when the member is ready to start, which it does on a line of input: the
/// start of fifty processes is a load of its own.
pub(crate) const READY: &str = "ready";
/// Printed when it sends a token request, and when it has the response.
pub(crate) const ASKS: &str = "asks";
pub(crate) const ANSWERED: &str = "answered";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) redis: String,
    pub(crate) prefix: String,
    pub(crate) key: String,
    pub(crate) token_url: String,
    pub(crate) api_url: String,
    pub(crate) username: String,
    pub(crate) password: String,
    /// How long after the others it starts.
    pub(crate) start_after: Duration,
    /// How long it calls the API, and how long it pauses after a call.
    pub(crate) span: Duration,
    pub(crate) rest: Duration,
    pub(crate) lease: Duration,
    pub(crate) store_timeout: Duration,
    /// How far its clock is ahead, in seconds.
    pub(crate) ahead: i64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// The tokens that it used, each by a number that reveals nothing about it.
    pub(crate) tokens: BTreeSet<u64>,
    /// The number of requests during which the store could not be reached.
    pub(crate) alone: u64,
    /// The errors, and how often each occurred.
    pub(crate) errors: HashMap<String, u64>,
}

impl Report {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.tokens.extend(other.tokens);
        self.alone += other.alone;
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }
}

/// Returns this process's settings, if it is a member.
pub(crate) fn setup() -> Option<Setup> {
    let setup = std::env::var(VARIABLE).ok()?;
    Some(serde_json::from_str(&setup).expect("written by the parent"))
}

/// Runs the member. The last line that it prints is the report.
pub(crate) async fn run(setup: Setup) -> Result<(), BoxError> {
    let tokens = cache(&setup)?;
    let origins = Origins::only([&setup.api_url])?;
    let client = reqwest::Client::new();
    let mut api = ServiceBuilder::new()
        .layer(BearerAuthLayer::new(tokens.clone(), origins))
        .service(client.clone());

    println!("{READY}");
    std::io::stdin().read_line(&mut String::new())?;
    sleep(setup.start_after).await;
    let mut report = Report::default();
    let start = Instant::now();
    while start.elapsed() < setup.span {
        let request = client.get(format!("{}/calls", setup.api_url)).build()?;
        report.requests += 1;
        let failure = match api.ready().await?.call(request).await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(failure) = failure {
            report.failed += 1;
            *report.errors.entry(failure).or_default() += 1;
        }
        if let Some(fault) = tokens.status().store_error {
            report.alone += 1;
            *report.errors.entry(fault.to_string()).or_default() += 1;
        }
        remember(&tokens, &mut report).await;
        sleep(setup.rest).await;
    }
    // A token that is being fetched is one of the fleet's too.
    while tokens.status().is_fetching {
        sleep(Duration::from_millis(10)).await;
    }
    remember(&tokens, &mut report).await;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn remember(tokens: &TokenCache, report: &mut Report) {
    if let Ok(token) = tokens.token().await {
        let mut number = DefaultHasher::new();
        token.secret().hash(&mut number);
        report.tokens.insert(number.finish());
    }
}

fn cache(setup: &Setup) -> Result<TokenCache, BoxError> {
    let store = RedisStore::builder(&setup.redis)
        .prefix(&setup.prefix)
        .key(setup.key.parse()?)
        .build()?;
    let endpoint = &setup.token_url;
    let account = PasswordGrant::new(endpoint, "api", &setup.username, &setup.password)?;
    let ahead = setup.ahead;
    Ok(TokenCache::builder(account.transport(told()))
        .store(store, &setup.username)
        .lease_duration(setup.lease)
        .source_timeout(setup.lease)
        .store_timeout(setup.store_timeout)
        .wall_clock(move || {
            let span = Duration::from_secs(ahead.unsigned_abs());
            match ahead {
                0.. => SystemTime::now() + span,
                _ => SystemTime::now() - span,
            }
        })
        .build()?)
}

/// The default transport, which reports its use.
fn told() -> impl tower_bearer::transport::Transport {
    ServiceBuilder::new()
        .map_request(|request| {
            println!("{ASKS}");
            request
        })
        .map_response(|answer| {
            println!("{ANSWERED}");
            answer
        })
        .service(DefaultTransport::new())
}
