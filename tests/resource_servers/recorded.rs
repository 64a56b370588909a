//! Recorded responses of resource servers to an invalid token, replayed through the
//! layer: from how many configurations it recovers, and with which policy.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{AccessToken, BearerAuthLayer, Origins, Outcome, Rejection, TokenCache};

/// A status and a challenge or `grpc-status`.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    header: Option<(HeaderName, String)>,
}

#[derive(Debug)]
struct Server {
    name: String,
    takes: String,
    /// To tokens that are dead in one way or another.
    dead: Vec<Answer>,
    too_small_scope: Option<Answer>,
}

fn answer(text: &str) -> Option<Answer> {
    if text == "-" {
        return None;
    }
    let (status, rest) = text.split_once(' ').unwrap_or((text, ""));
    let header = match rest.split_once("grpc-status: ") {
        _ if rest.is_empty() => None,
        Some((_, code)) => Some((HeaderName::from_static("grpc-status"), code.to_owned())),
        None => Some((WWW_AUTHENTICATE, rest.to_owned())),
    };
    let status = status.parse().expect("a status");
    Some(Answer { status, header })
}

fn servers() -> Vec<Server> {
    let lines = include_str!("recorded.tsv").lines();
    let rows = lines.filter(|line| !line.starts_with('#')).skip(1);
    rows.map(|row| {
        let cells: Vec<_> = row.split('\t').collect();
        let &[
            takes,
            _,
            name,
            version,
            expired,
            signature,
            unknown,
            scope,
            _,
        ] = &cells[..]
        else {
            panic!("not nine cells: {row}");
        };
        Server {
            name: format!("{name} {version}"),
            takes: takes.to_owned(),
            // The response to an expired token comes first, then those like it.
            dead: [expired, unknown, signature]
                .into_iter()
                .filter_map(answer)
                .collect(),
            too_small_scope: answer(scope),
        }
    })
    .collect()
}

/// Returns the result of a request whose token gets this response: status, outcome
/// and fetches. A newer token gets 200, or the same response again.
async fn call<S, L, B>(layer: L, dead: &Answer, always: bool) -> (u16, Option<Outcome>, usize)
where
    L: FnOnce(BearerAuthLayer, Api) -> S,
    S: Service<Request<String>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: BodyExt,
{
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = fetches.clone();
    let tokens = TokenCache::new(move || {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move { AccessToken::new(format!("t{number}")) }
    });
    let origins = Origins::only(["https://api.example.com"]).expect("an origin");
    let api = Api {
        dead: dead.clone(),
        always,
    };
    let request = Request::get("https://api.example.com/").body(String::new());
    let stack = layer(BearerAuthLayer::new(tokens, origins), api);
    let response = stack.oneshot(request.expect("a request")).await;
    let response = response.expect("an answer");
    let outcome = response.extensions().get().copied();
    (
        response.status().as_u16(),
        outcome,
        fetches.load(Ordering::SeqCst),
    )
}

/// An API that gives the first token, or every one, the same answer.
#[derive(Clone)]
struct Api {
    dead: Answer,
    always: bool,
}

impl Service<Request<String>> for Api {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let mut response = Response::new(Full::default());
        if self.always || request.headers()[AUTHORIZATION] == "Bearer t1" {
            *response.status_mut() = self.dead.status.try_into().expect("a status");
            if let Some((name, value)) = &self.dead.header {
                let value = value.parse().expect("a value");
                response.headers_mut().insert(name, value);
            }
        }
        std::future::ready(Ok(response))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Policy {
    Default,
    Statuses,
    Grpc,
}

async fn with(policy: Policy, dead: &Answer, always: bool) -> (u16, Option<Outcome>, usize) {
    match policy {
        Policy::Default => call(|layer, api| layer.layer(api), dead, always).await,
        Policy::Statuses => {
            let rejection = Rejection::statuses([400, 403, 422]);
            call(
                |layer, api| layer.reject_on(rejection).layer(api),
                dead,
                always,
            )
            .await
        }
        Policy::Grpc => {
            let rejection = Rejection::grpc();
            call(
                |layer, api| layer.reject_on(rejection).layer(api),
                dead,
                always,
            )
            .await
        }
    }
}

/// Returns the setups from which a policy recovers, by what they accept: expired
/// tokens, or else unknown ones.
async fn recovered(policy: Policy) -> BTreeMap<String, usize> {
    let mut recovered = BTreeMap::new();
    for server in servers() {
        let answer = with(policy, &server.dead[0], false).await;
        if answer == (200, Some(Outcome::Replayed), 2) {
            *recovered.entry(server.takes).or_default() += 1;
        } else {
            // The caller gets the API's response, and nothing is fetched for it.
            assert_eq!(answer, (server.dead[0].status, None, 1), "{}", server.name);
        }
    }
    recovered
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts
        .map(|(takes, count)| (takes.to_owned(), count))
        .into()
}

#[test]
fn eighty_four_set_ups_are_recorded() {
    let mut found = BTreeMap::new();
    for server in servers() {
        assert!(!server.dead.is_empty(), "{}", server.name);
        *found.entry(server.takes).or_default() += 1;
    }
    let all = [("bearer", 77), ("control", 2), ("grpc", 2), ("other", 3)];
    assert_eq!(found, counts(all));
}

#[tokio::test(start_paused = true)]
async fn by_default_the_layer_recovers_from_68_of_77() {
    let all = [("bearer", 68), ("control", 1), ("other", 3)];
    assert_eq!(recovered(Policy::Default).await, counts(all));
}

#[tokio::test(start_paused = true)]
async fn with_three_statuses_more_it_recovers_from_75_of_77() {
    let all = [("bearer", 75), ("control", 2), ("other", 3)];
    assert_eq!(recovered(Policy::Statuses).await, counts(all));
}

#[tokio::test(start_paused = true)]
async fn with_the_policy_for_grpc_it_recovers_from_both_grpc_servers() {
    let all = [("bearer", 68), ("control", 1), ("grpc", 2), ("other", 3)];
    assert_eq!(recovered(Policy::Grpc).await, counts(all));
}

/// Two remain: one answers 500, the other 200 with the error in its body.
#[tokio::test(start_paused = true)]
async fn what_no_status_tells_is_for_the_body_or_for_nobody() {
    let mut left = Vec::new();
    for server in servers().into_iter().filter(|it| it.takes == "bearer") {
        if with(Policy::Statuses, &server.dead[0], false).await.0 != 200
            || server.dead[0].status == 200
        {
            left.push((server.name, server.dead[0].status));
        }
    }
    left.sort();
    let expected = [
        ("aiohttp-security:JWTIdentityPolicy 0.5.0", 500),
        ("apollo-server:resolver-throws 5.5.1", 200),
    ];
    assert_eq!(
        left,
        expected.map(|(name, status)| (name.to_owned(), status))
    );
}

/// By default missing rights never cost a renewal.
#[tokio::test(start_paused = true)]
async fn a_scope_that_is_too_small_is_no_rejection_by_default() {
    let mut seen = 0;
    for server in servers() {
        if let Some(answer) = &server.too_small_scope {
            seen += 1;
            let found = with(Policy::Default, answer, true).await;
            assert_eq!(found, (answer.status, None, 1), "{}", server.name);
        }
    }
    assert_eq!(seen, 20);
}

/// Where 403 was asked for, those that say `insufficient_scope` still cost nothing;
/// the others cost one renewal, which is then held.
#[tokio::test(start_paused = true)]
async fn with_403_asked_for_missing_rights_cost_one_renewal_at_most() {
    let (mut nothing, mut one) = (0, 0);
    for server in servers() {
        if let Some(answer) = &server.too_small_scope {
            match with(Policy::Statuses, answer, true).await.2 {
                1 => nothing += 1,
                2 => one += 1,
                more => panic!("{more} fetches: {}", server.name),
            }
        }
    }
    assert_eq!((nothing, one), (5, 15));
}

/// Invalid in any way: a setup answers all kinds alike, except those that are named
/// in the guide.
#[tokio::test(start_paused = true)]
async fn other_deaths_are_recovered_from_as_an_expiry_is() {
    let mut differ = Vec::new();
    for server in servers().into_iter().filter(|it| it.takes == "bearer") {
        let mut recovers = Vec::new();
        for answer in &server.dead {
            recovers.push(with(Policy::Default, answer, false).await.0 == 200);
        }
        if recovers.iter().any(|it| *it != recovers[0]) {
            differ.push(server.name);
        }
    }
    let expected = [
        "@graphql-yoga/plugin-jwt 3.18.1",
        "Flask-JWT-Extended 4.7.4",
        "Flask-JWT-Extended:blocklisted 4.7.4",
    ];
    assert_eq!(differ, expected);
}
