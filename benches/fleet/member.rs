//! One process of the fleet: calls the API for a while, and reports.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Builder;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_bearer::store::RedisStore;
use tower_bearer::transport::{DefaultTransport, Transport};
use tower_bearer::{BearerAuthLayer, Origins, PasswordGrant, TokenCache};

/// The variable that makes a process a member, and says of what.
const VARIABLE: &str = "TOWER_BEARER_FLEET_MEMBER";
/// For the bench only.
const KEY: &str = "VGhpcyBpcyBhbiBleGFtcGxlLCBub3QgYSBzZWNyZXQ=";
/// Between two requests of a process.
const REST: Duration = Duration::from_millis(40);

#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) redis: String,
    pub(crate) token_url: String,
    pub(crate) api_url: String,
    pub(crate) username: String,
    pub(crate) password: String,
    /// When all begin, in nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) span: Duration,
    pub(crate) report: PathBuf,
}

impl Setup {
    /// The variable and its value that make a process this member.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        let parts = [
            &self.redis,
            &self.token_url,
            &self.api_url,
            &self.username,
            &self.password,
            &self.start.to_string(),
            &self.span.as_secs().to_string(),
            &*self.report.to_string_lossy(),
        ];
        (VARIABLE, parts.join("\n"))
    }

    fn read() -> Option<Self> {
        let what = std::env::var(VARIABLE).ok()?;
        let parts: Vec<String> = what.split('\n').map(str::to_owned).collect();
        let [
            redis,
            token_url,
            api_url,
            username,
            password,
            start,
            span,
            report,
        ] = <[String; 8]>::try_from(parts).expect("started by the bench");
        Some(Self {
            redis,
            token_url,
            api_url,
            username,
            password,
            start: start.parse().expect("a number"),
            span: Duration::from_secs(span.parse().expect("a number")),
            report: report.into(),
        })
    }
}

/// What members saw. All times are nanoseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// When each request began, and how long it took.
    pub(crate) requests: Vec<(u64, u64)>,
    /// When each token request began and ended.
    pub(crate) token_requests: Vec<(u64, u64)>,
    /// Each token that was used, by a number that tells nothing of it.
    pub(crate) tokens: BTreeSet<u64>,
    pub(crate) failed: u64,
}

impl Report {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests.extend(other.requests);
        self.token_requests.extend(other.token_requests);
        self.tokens.extend(other.tokens);
        self.failed += other.failed;
    }

    fn write(&self, file: &Path) -> std::fmt::Result {
        let mut text = format!("failed {} 0\n", self.failed);
        for (began, took) in &self.requests {
            writeln!(text, "request {began} {took}")?;
        }
        for (began, ended) in &self.token_requests {
            writeln!(text, "token_request {began} {ended}")?;
        }
        for token in &self.tokens {
            writeln!(text, "token {token} 0")?;
        }
        std::fs::write(file, text).expect("a report");
        Ok(())
    }

    pub(crate) fn read(file: &Path) -> Self {
        let mut report = Self::default();
        let text = std::fs::read_to_string(file).expect("a report");
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse().expect("a number");
            match words[0] {
                "request" => report.requests.push((number(1), number(2))),
                "token_request" => report.token_requests.push((number(1), number(2))),
                "token" => drop(report.tokens.insert(number(1))),
                _ => report.failed += number(1),
            }
        }
        report
    }
}

/// Nanoseconds since 1970.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    let since = time
        .duration_since(UNIX_EPOCH)
        .expect("a clock that is set");
    u64::try_from(since.as_nanos()).expect("before the year 2554")
}

/// Runs a member if this process is one.
pub(crate) fn run_if_started() -> bool {
    let Some(setup) = Setup::read() else {
        return false;
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    let report = runtime.expect("a runtime").block_on(run(&setup));
    report.write(&setup.report).expect("text");
    true
}

async fn run(setup: &Setup) -> Report {
    let token_requests = Arc::default();
    let tokens = cache(setup, &token_requests);
    let origins = Origins::only([&setup.api_url]).expect("an origin");
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut api = BearerAuthLayer::new(tokens.clone(), origins).layer(client);
    let left = setup.start.saturating_sub(nanos(SystemTime::now()));
    sleep(Duration::from_nanos(left)).await;
    let mut report = Report::default();
    let start = Instant::now();
    while start.elapsed() < setup.span {
        let request = Request::get(format!("{}/v1/calls", setup.api_url));
        let request = request.body(Empty::new()).expect("a request");
        let (began, clock) = (nanos(SystemTime::now()), Instant::now());
        let ready = api.ready().await.expect("ready");
        let answered = match ready.call(request).await {
            Ok(answer) => {
                let success = answer.status().is_success();
                answer.into_body().collect().await.is_ok() && success
            }
            Err(_) => false,
        };
        let took = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        report.requests.push((began, took));
        report.failed += u64::from(!answered);
        if let Ok(token) = tokens.token().await {
            report.tokens.insert(number(token.secret()));
        }
        // Not in step with the others.
        let share = 0.5 + (began % 1000) as f64 / 1000.0;
        sleep(REST.mul_f64(share)).await;
    }
    // A token that is on its way is one of the fleet's too.
    while tokens.status().is_fetching {
        sleep(Duration::from_millis(10)).await;
    }
    if let Ok(token) = tokens.token().await {
        report.tokens.insert(number(token.secret()));
    }
    report.token_requests = token_requests.lock().expect("no panic").clone();
    report
}

fn number(token: &str) -> u64 {
    let mut number = DefaultHasher::new();
    token.hash(&mut number);
    number.finish()
}

type Spans = Arc<Mutex<Vec<(u64, u64)>>>;

fn cache(setup: &Setup, token_requests: &Spans) -> TokenCache {
    let store = RedisStore::builder(&setup.redis).prefix("fleet");
    let store = store.key(KEY.parse().expect("a key")).build();
    let (url, user, password) = (&setup.token_url, &setup.username, &setup.password);
    let grant = PasswordGrant::new(url, "api", user, password).expect("a grant");
    TokenCache::builder(grant.transport(timed(token_requests.clone())))
        .store(store.expect("a store"), user)
        .renew_before(0.5, Duration::from_secs(300))
        // Fifty processes on two cores wait for the machine.
        .store_timeout(Duration::from_secs(2))
        .build()
        .expect("a cache")
}

/// The usual transport, which notes when it is used.
fn timed(spans: Spans) -> impl Transport {
    let ended = spans.clone();
    ServiceBuilder::new()
        .map_request(move |request: Request<_>| {
            let now = nanos(SystemTime::now());
            spans.lock().expect("no panic").push((now, now));
            request
        })
        .map_response(move |response: Response<_>| {
            if let Some(last) = ended.lock().expect("no panic").last_mut() {
                last.1 = nanos(SystemTime::now());
            }
            response
        })
        .service(DefaultTransport::new())
}
