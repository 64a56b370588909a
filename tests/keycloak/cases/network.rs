//! A bad network between the cache and Keycloak.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_bearer::{
    PasswordGrant, RefreshToken, TokenCache, TokenError, TokenResponse, TokenSource,
};

use crate::api::Check;
use crate::load::Load;
use crate::proxy::{Mode, Proxy};
use crate::stack::{Kind, https};
use crate::world::{CASES, PASSWORD, World, oidc, until};

const CALLERS: usize = 50;
/// One each: with its detection of brute force on, Keycloak refuses a login
/// while another one of the same user is going on.
const USERS: [&str; 2] = ["hyper", "reqwest"];
/// How long one exchange with the token endpoint may take, and how long a caller
/// waits.
const EXCHANGE: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_secs(3);
/// How much a busy machine may add to it.
const GRACE: Duration = Duration::from_secs(1);
const TROUBLE: Duration = Duration::from_secs(4);
/// The longest that a pause can be after as many failures as fit in there.
const NEXT_PAUSE: Duration = Duration::from_secs(8);

pub(crate) async fn on_a_bad_network_each_caller_ends_in_time(world: Arc<World>) -> String {
    let api = world.api(Check::Introspection).await;
    let realm = world.realm();
    let before = realm.requests().await;
    let [hyper, reqwest] = USERS;
    let (hyper, reqwest) = tokio::join!(
        through(&world, Kind::Hyper, hyper, &api.url),
        through(&world, Kind::Reqwest, reqwest, &api.url)
    );
    let requests = realm.requests().await.since(before);
    for user in USERS {
        assert_eq!(realm.failures(user).await, (0, false));
    }
    format!("{hyper}{reqwest}1 fetch at a time; {requests}")
}

/// One client and its own proxy.
async fn through(world: &World, kind: Kind, user: &str, api: &str) -> String {
    let proxy = Proxy::start(world.keycloak.port()).await;
    let server = format!("https://localhost:{}", proxy.port);
    let grant = PasswordGrant::new(oidc(&server, CASES, "token"), "api", user, PASSWORD);
    let grant = grant.expect("https").timeout(EXCHANGE).expect("a timeout");
    let flights = Arc::new(Flights::default());
    let tokens = match kind {
        Kind::Hyper => counted(grant.transport(https()), &flights),
        Kind::Reqwest => counted(grant, &flights),
    };
    let stack = kind.stack(&tokens, api);
    assert_eq!(stack.call().await.expect("a token"), 200);
    // As long as later ones: TLS resumes its session. The last thousand bytes are of
    // the response, the first ones of TLS.
    proxy.set(Mode::Pass);
    // hyper's pool is to notice that its connection was closed.
    sleep(Duration::from_millis(200)).await;
    tokens.invalidate();
    assert_eq!(stack.call().await.expect("a token"), 200);
    let (all, mut found) = (proxy.sent(), String::new());
    for mode in [
        Mode::Stall(0),
        Mode::Stall(all - 1000),
        Mode::Cut(100),
        Mode::Cut(all - 1000),
        Mode::Drip,
        Mode::Reset(0),
        Mode::Reset(all - 1000),
    ] {
        let asked = flights.all.load(SeqCst);
        proxy.set(mode);
        tokens.invalidate();
        let load = Load::start(&stack, CALLERS, Duration::from_millis(20));
        sleep(TROUBLE).await;
        let trouble = load.tally();
        assert!(
            trouble.failed() > 0 && trouble.others.is_empty(),
            "{mode:?} {trouble:?}"
        );
        let transient = |kind: &String| ["Connect", "Timeout", "WaitTimeout"].contains(&&**kind);
        assert!(trouble.errors.keys().all(transient), "{mode:?} {trouble:?}");
        let held = tokens.status().fetch_backoff.unwrap_or_default();
        proxy.set(Mode::Pass);
        let passed = Instant::now();
        until("a call that succeeds", || load.tally().ok > 0).await;
        let recovered = passed.elapsed();
        let tally = load.stop().await;
        assert!(tally.longest < WAIT + GRACE, "{mode:?} {tally:?}");
        // Closing the connection ended the exchange that was under way, which
        // has set another pause: after five failures, of 8 s at most.
        assert!(
            recovered < held.max(NEXT_PAUSE) + GRACE,
            "{mode:?} {recovered:?} {held:?}"
        );
        assert_eq!(flights.most.load(SeqCst), 1, "{mode:?}");
        let asked = flights.all.load(SeqCst) - asked;
        found += &format!(
            "{kind:?} {mode:?}: {} calls failed {:?}, longest {:.1?}, {asked} fetches, recovered \
             in {recovered:.1?}\n        ",
            tally.failed(),
            tally.errors,
            tally.longest
        );
    }
    found
}

fn counted(source: impl TokenSource, flights: &Arc<Flights>) -> TokenCache {
    let flights = flights.clone();
    let source = Counted { source, flights };
    let tokens = TokenCache::builder(source).wait_timeout(WAIT);
    tokens.build().expect("settings")
}

/// How often the source was asked, and how many times at once at most.
#[derive(Default)]
struct Flights {
    all: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Counted<S> {
    source: S,
    flights: Arc<Flights>,
}

impl<S: TokenSource> TokenSource for Counted<S> {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        let _flight = Flight::take_off(&self.flights);
        self.source.fetch().await
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        let _flight = Flight::take_off(&self.flights);
        self.source.refresh(token).await
    }
}

struct Flight<'a>(&'a Flights);

impl<'a> Flight<'a> {
    fn take_off(flights: &'a Flights) -> Self {
        flights.all.fetch_add(1, SeqCst);
        let now = flights.now.fetch_add(1, SeqCst) + 1;
        flights.most.fetch_max(now, SeqCst);
        Self(flights)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
    }
}
