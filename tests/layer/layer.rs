//! The layer's duties to its caller and to the service under it.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_bearer::{
    AccessToken, BearerAuth, BearerAuthLayer, EmptyBody, Error, NoReplay, Origins, Outcome,
    TokenCache, TokenError, TokenErrorKind,
};
use tower_test::mock::{self, Handle};

type Req = Request<String>;
type Res = Response<String>;

const SCOPE: &str = "Bearer error=\"insufficient_scope\"";
const API: &str = "https://api.test/calls";

fn request(uri: &str) -> Req {
    Request::get(uri)
        .body("body".to_owned())
        .expect("a request")
}

fn response(status: u16) -> Res {
    let mut response = Response::new(String::new());
    *response.status_mut() = status.try_into().expect("a status");
    response
}

fn origins() -> Origins {
    Origins::only(["https://api.test"]).expect("an origin")
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn up(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A cache whose tokens are `t1`, `t2` and so on, and how many were fetched.
fn tokens() -> (TokenCache, Count) {
    let count = Count::default();
    let fetches = count.clone();
    let tokens = TokenCache::new(move || {
        let number = fetches.up();
        async move { AccessToken::new(format!("t{number}")) }
    });
    (tokens, count)
}

fn layer() -> (BearerAuthLayer, Count) {
    let (tokens, count) = tokens();
    (BearerAuthLayer::new(tokens, origins()), count)
}

/// The `Authorization` of a request.
fn sent<B>(request: &Request<B>) -> Option<String> {
    let value = request.headers().get(AUTHORIZATION)?;
    Some(value.to_str().expect("text").to_owned())
}

/// A service that answers by the token it sees and counts its calls.
fn api(
    answer: impl Fn(Option<&str>) -> u16 + Clone + Send + 'static,
) -> (
    impl Service<Req, Response = Res, Error = Infallible, Future: Send> + Clone + Send + 'static,
    Count,
) {
    let count = Count::default();
    let calls = count.clone();
    let service = service_fn(move |request: Req| {
        calls.up();
        let status = answer(sent(&request).as_deref());
        async move { Ok(response(status)) }
    });
    (service, count)
}

/// The next request that reaches the mock, answered; its `Authorization`.
async fn serve(handle: &mut Handle<Req, Res>, status: u16) -> Option<String> {
    let (request, reply) = handle.next_request().await.expect("a request");
    reply.send_response(response(status));
    sent(&request)
}

#[tokio::test]
async fn each_request_to_an_origin_carries_the_token() {
    let (layer, fetches) = layer();
    let (api, calls) = api(|token| if token == Some("Bearer t1") { 200 } else { 500 });
    let api = layer_on(&layer, api);
    for uri in [API, "https://API.test:443/", "https://api.test?q=1"] {
        let response = api.clone().oneshot(request(uri)).await.expect("an answer");
        assert_eq!(response.status(), 200, "{uri}");
        assert_eq!(response.extensions().get::<Outcome>(), None);
    }
    assert_eq!((calls.get(), fetches.get()), (3, 1));
}

fn layer_on<S>(layer: &BearerAuthLayer, service: S) -> BearerAuth<S> {
    ServiceBuilder::new().layer(layer.clone()).service(service)
}

#[tokio::test]
async fn a_request_to_another_origin_passes_untouched() {
    let (layer, fetches) = layer();
    let (api, calls) = api(|token| if token.is_none() { 401 } else { 500 });
    let api = layer_on(&layer, api);
    for uri in [
        "https://other.test/calls",
        "https://api.test:8443/calls",
        "http://api.test/calls",
        "https://sub.api.test/calls",
        "ftp://api.test/calls",
    ] {
        let response = api.clone().oneshot(request(uri)).await.expect("an answer");
        // Its 401 leads to nothing, and says why there was no token.
        assert_eq!(response.status(), 401, "{uri}");
        let outcome = response.extensions().get();
        assert_eq!(outcome, Some(&Outcome::OriginNotListed));
    }
    assert_eq!((calls.get(), fetches.get()), (5, 0));
}

#[tokio::test]
async fn an_authorization_of_the_callers_own_is_untouched() {
    let (layer, fetches) = layer();
    let (api, calls) = api(|token| {
        if token == Some("Basic bWU=") {
            401
        } else {
            500
        }
    });
    let mut own = request(API);
    own.headers_mut()
        .insert(AUTHORIZATION, "Basic bWU=".parse().expect("a value"));
    let response = layer_on(&layer, api).oneshot(own).await.expect("an answer");
    assert_eq!(response.status(), 401);
    assert_eq!((calls.get(), fetches.get()), (1, 0));
}

#[tokio::test]
async fn a_relative_uri_is_an_error_that_says_what_to_do() {
    let (layer, fetches) = layer();
    let (api, calls) = api(|_| 200);
    for uri in ["/calls", "*"] {
        let answer = layer_on(&layer, api.clone()).oneshot(request(uri)).await;
        let error = answer.expect_err("no origin");
        let token = TokenError::find(&error).expect("a token's error");
        assert_eq!(token.kind(), TokenErrorKind::RelativeUri);
        assert!(!token.is_transient());
        assert_eq!(error.to_string(), "no bearer token");
        let source = std::error::Error::source(&error).expect("a source");
        for part in ["no scheme and host", "with_origin"] {
            assert!(source.to_string().contains(part), "{source}");
        }
    }
    assert_eq!((calls.get(), fetches.get()), (0, 0));
}

#[derive(Debug, PartialEq)]
struct Broken(u8);

#[tokio::test]
async fn inner_errors_come_through_untouched() {
    let (layer, _) = layer();
    let broken = service_fn(|_: Req| async { Err::<Res, _>(Broken(7)) });
    for uri in [API, "https://other.test/"] {
        match layer_on(&layer, broken).oneshot(request(uri)).await {
            Err(Error::Inner(error)) => assert_eq!(error, Broken(7)),
            other => panic!("{uri}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn without_a_token_the_api_sees_nothing_and_all_callers_get_the_same_error() {
    let count = Count::default();
    let fetches = count.clone();
    let tokens = TokenCache::new(move || {
        fetches.up();
        async { Err::<AccessToken, _>(TokenError::new(TokenErrorKind::Refused, "refused")) }
    });
    let (api, calls) = api(|_| 200);
    let api = layer_on(&BearerAuthLayer::new(tokens, origins()), api);
    let callers: Vec<_> = (0..20)
        .map(|_| tokio::spawn(api.clone().oneshot(request(API))))
        .collect();
    for caller in callers {
        let error = caller.await.expect("no panic").expect_err("refused");
        let error = TokenError::find(&error).expect("a token's error");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
        assert!(error.retry_after() > Some(Duration::from_secs(50)));
    }
    assert_eq!((calls.get(), count.get()), (0, 1));
}

#[tokio::test]
async fn readiness_is_that_of_the_inner_service() {
    let (layer, _) = layer();
    let (mut service, mut handle) = mock::spawn_layer::<Req, Res, _>(layer);
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.is_woken() && service.poll_ready().is_ready());
    handle.send_error("out of order");
    let std::task::Poll::Ready(Err(Error::Inner(error))) = service.poll_ready() else {
        panic!("not the inner service's error");
    };
    assert_eq!(error.to_string(), "out of order");
}

/// The mock panics when it is called without having been ready, and a clone of
/// it is not ready. So this passes only if the ready one is called.
#[tokio::test]
async fn the_service_that_was_ready_is_the_one_called() {
    let (layer, _) = layer();
    let (mock, mut handle) = mock::pair::<Req, Res>();
    let mut service = layer_on(&layer, mock);
    handle.allow(2);
    // Cold: the call happens when the token has come. Then warm.
    for _ in 0..2 {
        let call = service.ready().await.expect("ready").call(request(API));
        let call = tokio::spawn(call);
        assert_eq!(serve(&mut handle, 200).await.as_deref(), Some("Bearer t1"));
        call.await.expect("no panic").expect("an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_waits_until_the_service_is_ready_again() {
    let (layer, fetches) = layer();
    let (mock, mut handle) = mock::pair::<Req, Res>();
    handle.allow(1);
    let call = tokio::spawn(layer_on(&layer, mock).oneshot(request(API)));
    assert_eq!(serve(&mut handle, 401).await.as_deref(), Some("Bearer t1"));

    sleep(Duration::from_secs(1)).await;
    assert_eq!(fetches.get(), 2);
    assert!(
        timeout(Duration::from_secs(1), handle.next_request())
            .await
            .is_err()
    );
    handle.allow(1);
    assert_eq!(serve(&mut handle, 200).await.as_deref(), Some("Bearer t2"));
    let response = call.await.expect("no panic").expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.extensions().get(), Some(&Outcome::Replayed));
}

#[tokio::test]
async fn a_replay_is_the_same_request_with_the_newer_token() {
    let (layer, _) = layer();
    let (mock, mut handle) = mock::pair::<Req, Res>();
    handle.allow(2);
    let mut original = Request::put(API)
        .body("all of it".to_owned())
        .expect("a request");
    original
        .headers_mut()
        .append("x-a", "1".parse().expect("a value"));
    original
        .headers_mut()
        .append("x-a", "2".parse().expect("a value"));
    original.extensions_mut().insert(7_u32);
    let call = tokio::spawn(layer_on(&layer, mock).oneshot(original));
    for (status, token) in [(401, "Bearer t1"), (200, "Bearer t2")] {
        let (got, reply) = handle.next_request().await.expect("a request");
        assert_eq!(
            (got.method().as_str(), got.uri().to_string().as_str()),
            ("PUT", API)
        );
        assert_eq!(got.headers().get_all("x-a").iter().count(), 2);
        assert_eq!(
            got.headers()
                .get_all(AUTHORIZATION)
                .iter()
                .collect::<Vec<_>>(),
            [token]
        );
        assert_eq!(got.extensions().get(), Some(&7_u32));
        assert_eq!(got.body(), "all of it");
        reply.send_response(response(status));
    }
    call.await.expect("no panic").expect("an answer");
}

#[tokio::test]
async fn a_hundred_401s_cost_one_fetch() {
    let (layer, fetches) = layer();
    let (api, calls) = api(|token| if token == Some("Bearer t1") { 401 } else { 200 });
    let api = layer_on(&layer, api);
    let callers: Vec<_> = (0..100)
        .map(|_| tokio::spawn(api.clone().oneshot(request(API))))
        .collect();
    for caller in callers {
        let response = caller.await.expect("no panic").expect("an answer");
        assert_eq!(response.status(), 200);
    }
    assert_eq!(fetches.get(), 2);
    assert!((101..=200).contains(&calls.get()), "{}", calls.get());
}

#[tokio::test]
async fn a_fresh_token_that_is_rejected_too_leaves_the_401_to_the_caller() {
    let (layer, fetches) = layer();
    let (api, calls) = api(|_| 401);
    let api = layer_on(&layer, api);
    let mut outcomes = Vec::new();
    for _ in 0..10 {
        let response = api.clone().oneshot(request(API)).await.expect("an answer");
        assert_eq!(response.status(), 401);
        outcomes.push(*response.extensions().get::<Outcome>().expect("an outcome"));
    }
    // And it is no load on the token endpoint.
    assert_eq!(outcomes[0], Outcome::Replayed);
    assert_eq!(outcomes[9], Outcome::RenewalBackedOff);
    assert!(fetches.get() <= 3, "{} fetches", fetches.get());
    assert!(calls.get() <= 13, "{} calls", calls.get());
}

#[tokio::test]
async fn a_401_about_the_scope_costs_no_fetch() {
    let (layer, fetches) = layer();
    let api = service_fn(|_: Req| async {
        let mut response = response(401);
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, SCOPE.parse().expect("a value"));
        Ok::<_, Infallible>(response)
    });
    let response = layer_on(&layer, api)
        .oneshot(request(API))
        .await
        .expect("an answer");
    assert_eq!(response.extensions().get(), Some(&Outcome::Unrelated));
    assert_eq!(fetches.get(), 1);
}

/// What became of a request whose token is rejected, under a policy.
async fn rejected<P, B>(policy: P, body: B) -> (StatusCode, Option<Outcome>, usize)
where
    P: tower_bearer::ReplayPolicy<Request<B>> + Clone + Send + 'static,
    B: Send + 'static,
{
    let (layer, fetches) = layer();
    let api = service_fn(|request: Request<B>| async move {
        let fresh = sent(&request).as_deref() == Some("Bearer t2");
        Ok::<_, Infallible>(response(if fresh { 200 } else { 401 }))
    });
    let mut api = ServiceBuilder::new()
        .layer(layer.replay(policy))
        .service(api);
    let request = || Request::get(API).body(body);
    let answer = api
        .ready()
        .await
        .expect("ready")
        .call(request().expect("a request"))
        .await;
    let response = answer.expect("an answer");
    (
        response.status(),
        response.extensions().get().copied(),
        fetches.get(),
    )
}

#[tokio::test]
async fn the_policy_decides_which_requests_are_sent_again() {
    let full = || Full::new(Bytes::from_static(b"body"));
    let empty = Full::<Bytes>::default;
    let replayed = (StatusCode::OK, Some(Outcome::Replayed), 2);
    // The newer token is there by the time the caller gets the response.
    let not_copied = (StatusCode::UNAUTHORIZED, Some(Outcome::NotCopied), 2);
    assert_eq!(rejected(tower_bearer::CloneBody, full()).await, replayed);
    assert_eq!(rejected(EmptyBody, empty()).await, replayed);
    assert_eq!(rejected(EmptyBody, full()).await, not_copied);
    assert_eq!(rejected(NoReplay, empty()).await, not_copied);

    let small = |request: &Request<Full<Bytes>>| {
        let small = http_body::Body::size_hint(request.body()).exact()? < 100;
        small.then(|| request.clone())
    };
    assert_eq!(rejected(small, full()).await, replayed);
    assert_eq!(rejected(small, Full::from(vec![0; 100])).await, not_copied);
}

#[tokio::test]
async fn a_body_that_is_nothing_at_all_goes_under_never() {
    struct Opaque;
    assert_eq!(rejected(NoReplay, Opaque).await.1, Some(Outcome::NotCopied));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_while_it_waits_for_a_token_leaves_nothing_behind() {
    let release = Arc::new(Notify::new());
    let released = release.clone();
    let tokens = TokenCache::new(move || {
        let released = released.clone();
        async move {
            released.notified().await;
            AccessToken::new("late")
        }
    });
    let calls = Count::default();
    let (service, request) = (calls.clone(), Arc::new(()));
    let api = service_fn(move |_: Request<Arc<()>>| {
        service.up();
        async { Ok::<_, Infallible>(response(200)) }
    });
    let layer = BearerAuthLayer::new(tokens.clone(), origins());
    let api = ServiceBuilder::new().layer(layer).service(api);
    let held = Arc::strong_count(&calls.0);

    let call = Request::get(API).body(request.clone()).expect("a request");
    let call = api.oneshot(call);
    assert!(timeout(Duration::from_secs(1), call).await.is_err());
    // Neither the request nor the service lives on.
    assert_eq!(Arc::strong_count(&request), 1);
    assert_eq!(Arc::strong_count(&calls.0), held - 1);

    // The fetch continues, for the next caller.
    release.notify_one();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(tokens.status().generation, Some(1));
    assert_eq!(calls.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_drops_the_inner_call() {
    let (layer, _) = layer();
    let body = Arc::new(());
    let api = service_fn(|request: Request<Arc<()>>| async move {
        let _held = request;
        pending::<Result<Res, Infallible>>().await
    });
    let api = ServiceBuilder::new().layer(layer).service(api);
    let call = Request::get(API).body(body.clone()).expect("a request");
    assert!(
        timeout(Duration::from_secs(1), api.oneshot(call))
            .await
            .is_err()
    );
    assert_eq!(Arc::strong_count(&body), 1);
}

#[tokio::test(start_paused = true)]
async fn one_callers_deadline_is_nothing_to_the_others() {
    let count = Count::default();
    let fetches = count.clone();
    let tokens = TokenCache::new(move || {
        fetches.up();
        async {
            sleep(Duration::from_secs(2)).await;
            AccessToken::new("slow")
        }
    });
    let (api, calls) = api(|_| 200);
    let api = layer_on(&BearerAuthLayer::new(tokens, origins()), api);
    let hasty = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .service(api.clone());
    let hasty = tokio::spawn(hasty.oneshot(request(API)));
    let patient = tokio::spawn(api.oneshot(request(API)));
    assert!(hasty.await.expect("no panic").is_err());
    patient.await.expect("no panic").expect("an answer");
    assert_eq!((count.get(), calls.get()), (1, 1));
}

#[tokio::test]
async fn limits_below_and_above_stack_and_their_errors_are_told_apart() {
    let (layer, fetches) = layer();
    let (api, _) = api(|_| 200);
    let stack = ServiceBuilder::new()
        .buffer(100)
        .concurrency_limit(50)
        .timeout(Duration::from_secs(10))
        .map_err(Error::into_boxed)
        .layer(layer)
        // From here on the error is a `BoxError`.
        .timeout(Duration::from_secs(5))
        .concurrency_limit(10)
        .load_shed()
        .service(api);
    let callers: Vec<_> = (0..50)
        .map(|_| tokio::spawn(stack.clone().oneshot(request(API))))
        .collect();
    let mut shed = 0;
    for caller in callers {
        let answer: Result<Res, BoxError> = caller.await.expect("no panic");
        shed += answer.is_err() as usize;
    }
    assert!(shed < 50);
    assert_eq!(fetches.get(), 1);

    let error = stack
        .oneshot(request("/relative"))
        .await
        .expect_err("no origin");
    let error = TokenError::find(&*error).expect("a token's error");
    assert_eq!(error.kind(), TokenErrorKind::RelativeUri);
}

#[test]
fn layer_service_and_future_can_be_shared_and_say_no_secret() {
    fn shared<T: Clone + Send + Sync + std::fmt::Debug + 'static>(value: &T) -> String {
        format!("{value:?}")
    }
    fn sent<T: Send + 'static>(_: T) {}
    let tokens = TokenCache::new(AccessToken::new("s3cret").expect("a token"));
    let layer = BearerAuthLayer::new(tokens, origins());
    let shown = shared(&layer) + &shared(&layer_on(&layer, Arc::new(())));
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("https://api.test:443"), "{shown}");
    let (mock, _handle) = mock::pair::<Req, Res>();
    sent(layer_on(&layer, mock).oneshot(request(API)));
}

#[tokio::test(start_paused = true)]
async fn a_401_from_an_origin_that_is_not_listed_says_so() {
    let (layer, fetches) = layer();
    let api = service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, Infallible>(response(401)) });
    let api = ServiceBuilder::new().layer(layer).service(api);
    let request = Request::get("https://elsewhere.example.com/").body(Full::default());
    let answer = api.clone().oneshot(request.expect("a request")).await;
    let outcome = answer.expect("an answer").extensions().get().copied();
    assert_eq!(outcome, Some(Outcome::OriginNotListed));
    let own = Request::get("https://elsewhere.example.com/").header("authorization", "Basic bWU=");
    let answer = api
        .oneshot(own.body(Full::default()).expect("a request"))
        .await;
    let outcome = answer
        .expect("an answer")
        .extensions()
        .get::<Outcome>()
        .copied();
    assert_eq!((outcome, fetches.get()), (None, 0));
}
