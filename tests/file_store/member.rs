//! One process of a fleet: calls the API for a while, and reports.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_bearer::store::{FileStore, StoreKey};
use tower_bearer::transport::{DefaultTransport, Transport};
use tower_bearer::{BearerAuthLayer, Origins, PasswordGrant, TokenCache};

/// The variable that makes a process a member, and says of what.
pub(crate) const VARIABLE: &str = "TOWER_BEARER_FILE_STORE_MEMBER";
/// The lines that a member prints: that it waits for a line of input, that it sends
/// a token request, that it has an answer, and that its store failed or works again.
pub(crate) const READY: &str = "<ready>";
pub(crate) const ASKS: &str = "<asks>";
pub(crate) const ANSWERED: &str = "<answered>";
pub(crate) const ALONE: &str = "<alone>";
pub(crate) const TOGETHER: &str = "<together>";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) folder: PathBuf,
    pub(crate) token_url: String,
    pub(crate) api_url: String,
    pub(crate) username: String,
    pub(crate) password: String,
    /// How long it calls the API, and how long it rests after a call.
    pub(crate) span: Duration,
    pub(crate) rest: Duration,
    /// How long a fetch may take, and the lease for it.
    pub(crate) fetch: Duration,
    pub(crate) lease: Duration,
    /// How far its clock is ahead, in seconds.
    pub(crate) ahead: i64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Each token that it used, by a number that tells nothing of it.
    pub(crate) tokens: BTreeSet<u64>,
    /// Requests during which the store could not be used.
    pub(crate) alone: u64,
    /// What went wrong, and how often.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of a fleet, which the tests start"]
async fn process() {
    let setup = std::env::var(VARIABLE).expect("started by a test");
    run(serde_json::from_str(&setup).expect("written by a test")).await;
}

/// Its last line is the report.
async fn run(setup: Setup) {
    let tokens = cache(&setup);
    let origins = Origins::only([&setup.api_url]).expect("an origin");
    let client = reqwest::Client::new();
    let mut api = ServiceBuilder::new()
        .layer(BearerAuthLayer::new(tokens.clone(), origins))
        .service(client.clone());
    println!("{READY}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    let (mut report, start, mut was_alone) = (Report::default(), Instant::now(), false);
    while start.elapsed() < setup.span {
        let request = client.get(format!("{}/calls", setup.api_url)).build();
        report.requests += 1;
        let api = api.ready().await.expect("ready");
        let failure = match api.call(request.expect("built")).await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(failure) = failure {
            report.failed += 1;
            *report.errors.entry(failure).or_default() += 1;
        }
        let fault = tokens.status().store_error;
        if was_alone != fault.is_some() {
            was_alone = fault.is_some();
            println!("{}", if was_alone { ALONE } else { TOGETHER });
        }
        if let Some(fault) = fault {
            report.alone += 1;
            *report.errors.entry(fault.to_string()).or_default() += 1;
        }
        if let Ok(token) = tokens.token().await {
            let mut number = DefaultHasher::new();
            token.secret().hash(&mut number);
            report.tokens.insert(number.finish());
        }
        sleep(setup.rest).await;
    }
    // A token that is on its way is one of the fleet's too.
    while tokens.status().is_fetching {
        sleep(Duration::from_millis(10)).await;
    }
    println!("{}", serde_json::to_string(&report).expect("JSON"));
}

fn cache(setup: &Setup) -> TokenCache {
    let key = StoreKey::from_bytes([1; 32]);
    let store = FileStore::folder(&setup.folder).key(key).build();
    let (url, user) = (&setup.token_url, &setup.username);
    let account = PasswordGrant::new(url, "api", user, &setup.password).expect("a grant");
    let ahead = setup.ahead;
    let builder = TokenCache::builder(account.transport(told()))
        .store(store.expect("a store"), user)
        .source_timeout(setup.fetch)
        .lease_duration(setup.lease)
        // Far more than files take: many processes on a small machine wait for it.
        .store_timeout(Duration::from_secs(1))
        .wall_clock(move || {
            let span = Duration::from_secs(ahead.unsigned_abs());
            match ahead {
                0.. => SystemTime::now() + span,
                _ => SystemTime::now() - span,
            }
        });
    builder.build().expect("a cache")
}

/// The usual transport, which says when it is used.
fn told() -> impl Transport {
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
