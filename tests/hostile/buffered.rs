//! Bodies that are kept while they are sent: whatever their frames, and whenever the
//! API answers, a replay sends the same body from its start, or there is none.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use proptest::collection::vec;
use proptest::prelude::*;
use tower::{Layer, ServiceExt};
use tower_bearer::{AccessToken, BearerAuthLayer, BufferBody, Origins, Outcome, TokenCache};

use crate::paused;

type Boxed = UnsyncBoxBody<Bytes, Broken>;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Broken;

#[derive(Clone, Debug)]
enum Step {
    Pending,
    Data(usize),
    Trailers,
    Broken,
}

/// The parts of a test case.
#[derive(Clone, Debug)]
struct Case {
    steps: Vec<Step>,
    /// Whether the body says how long it is.
    exact: bool,
    limit: usize,
    /// How many frames the API reads before it rejects the token.
    read: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let step = prop_oneof![
        1 => Just(Step::Pending),
        3 => (0usize..40).prop_map(Step::Data),
    ];
    let end = prop_oneof![
        4 => Just(None),
        2 => Just(Some(Step::Trailers)),
        1 => Just(Some(Step::Broken)),
    ];
    (vec(step, 0..8), end, any::<bool>(), 0usize..120, 0usize..10).prop_map(
        |(mut steps, end, exact, limit, read)| {
            steps.extend(end);
            Case {
                steps,
                exact,
                limit,
                read,
            }
        },
    )
}

impl Case {
    fn length(&self) -> usize {
        let length = |step: &Step| match step {
            Step::Data(length) => *length,
            _ => 0,
        };
        self.steps.iter().map(length).sum()
    }

    fn trailers(&self) -> Option<HeaderMap> {
        let has_trailers = matches!(self.steps.last(), Some(Step::Trailers));
        has_trailers.then(trailers)
    }

    fn is_broken(&self) -> bool {
        matches!(self.steps.last(), Some(Step::Broken))
    }

    fn content(&self) -> Vec<u8> {
        (0..self.length()).map(|at| at as u8).collect()
    }
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("7"));
    trailers
}

/// Frames that are counted while any of their bytes are held.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Ordering::SeqCst);
    }
}

struct Made {
    steps: VecDeque<Step>,
    exact: bool,
    at: usize,
    left: usize,
    held: Arc<AtomicUsize>,
}

impl Body for Made {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(match self.steps.pop_front() {
            None => None,
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Step::Data(length)) => {
                let content = (self.at..self.at + length).map(|at| at as u8).collect();
                self.at += length;
                self.left -= length;
                self.held.fetch_add(length, Ordering::SeqCst);
                let owner = Counted(content, self.held.clone());
                Some(Ok(Frame::data(Bytes::from_owner(owner))))
            }
            Some(Step::Trailers) => Some(Ok(Frame::trailers(trailers()))),
            Some(Step::Broken) => Some(Err(Broken)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.exact {
            true => SizeHint::with_exact(self.left as u64),
            false => SizeHint::default(),
        }
    }
}

/// What an attempt has seen of a body.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    broken: bool,
    ended: bool,
}

/// Reads this many frames, and checks what the body reports meanwhile.
async fn read(case: &Case, body: &mut Boxed, frames: usize) -> Seen {
    let mut seen = Seen::default();
    for _ in 0..frames {
        let left = (case.length() - seen.data.len()) as u64;
        let hint = body.size_hint();
        assert!(hint.lower() <= left, "{hint:?} for {left}");
        assert!(hint.upper().is_none_or(|upper| upper >= left), "{hint:?}");
        if case.exact {
            assert_eq!(hint.exact(), Some(left));
        }
        let at_end = body.is_end_stream();
        let Some(frame) = body.frame().await else {
            seen.ended = true;
            break;
        };
        assert!(!at_end, "a frame after the end");
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => seen.data.extend_from_slice(&data),
            Ok(Err(trailers)) => seen.trailers = trailers.into_trailers().ok(),
            Err(Broken) => seen.broken = true,
        }
    }
    seen
}

#[derive(Default)]
struct Api {
    attempts: Vec<Seen>,
    /// The first body, as a connection may hold it that is not done with it.
    first: Option<Boxed>,
    held_after_first: usize,
}

fn check(case: &Case) {
    let held = Arc::new(AtomicUsize::new(0));
    let api = Arc::new(Mutex::new(Api::default()));
    let service = {
        let (api, case, held) = (api.clone(), case.clone(), held.clone());
        tower::service_fn(move |request: Request<Boxed>| {
            let (api, case, held) = (api.clone(), case.clone(), held.clone());
            async move {
                let first = request.headers()["authorization"] == "Bearer t1";
                let mut body = request.into_body();
                let frames = if first { case.read } else { usize::MAX };
                let seen = read(&case, &mut body, frames).await;
                let mut api = api.lock().expect("no panic");
                api.attempts.push(seen);
                let mut response = Response::new(String::new());
                if first {
                    *response.status_mut() = StatusCode::UNAUTHORIZED;
                    api.first = Some(body);
                    api.held_after_first = held.load(Ordering::SeqCst);
                }
                Ok::<_, Infallible>(response)
            }
        })
    };
    let fetches = Arc::new(AtomicUsize::new(0));
    let tokens = TokenCache::new(move || {
        let number = fetches.fetch_add(1, Ordering::SeqCst) + 1;
        async move { AccessToken::new(format!("t{number}")) }
    });
    let origins = Origins::only(["https://a.example"]).expect("an origin");
    let layer = BearerAuthLayer::new(tokens, origins).replay(BufferBody::up_to(case.limit));
    let body = Made {
        steps: case.steps.clone().into(),
        exact: case.exact,
        at: 0,
        left: case.length(),
        held: held.clone(),
    };
    let request = Request::post("https://a.example/").body(Boxed::new(body));
    let response = paused::block_on(layer.layer(service).oneshot(request.expect("a request")));
    let response = response.expect("an answer");

    let mut api = api.lock().expect("no panic");
    let sent = api.attempts[0].data.len();
    assert_eq!(api.attempts[0].data, case.content()[..sent]);
    let too_long = case.exact && case.length() > case.limit;
    let outcome = response.extensions().get().copied();
    if sent > case.limit || api.attempts[0].broken || too_long {
        assert_eq!(
            (response.status().as_u16(), outcome),
            (401, Some(Outcome::NotCopied))
        );
        assert_eq!(api.attempts.len(), 1);
        assert_eq!(
            api.held_after_first, 0,
            "frames are kept that nobody will send"
        );
    } else {
        assert_eq!(
            (response.status().as_u16(), outcome),
            (200, Some(Outcome::Replayed))
        );
        let whole = Seen {
            data: case.content(),
            trailers: case.trailers(),
            broken: case.is_broken(),
            ended: true,
        };
        assert_eq!(api.attempts[1], whole);
        assert_eq!(
            api.held_after_first, sent,
            "what was sent is kept, and no more"
        );
        // Nothing more is sent where the token was rejected.
        let mut first = api.first.take().expect("the first body");
        assert!(first.is_end_stream());
        assert!(paused::block_on(first.frame()).is_none());
    }
    api.first = None;
    drop(response);
    assert_eq!(
        held.load(Ordering::SeqCst),
        0,
        "frames outlive their request"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_kept_body_is_replayed_from_its_start_to_its_end_or_not_at_all(case in cases()) {
        check(&case);
    }
}

/// A body that was sent well is kept no longer than until the answer.
#[test]
fn nothing_is_kept_once_the_answer_is_there() {
    let held = Arc::new(AtomicUsize::new(0));
    let kept: Arc<Mutex<Option<Boxed>>> = Arc::default();
    let service = {
        let kept = kept.clone();
        tower::service_fn(move |request: Request<Boxed>| {
            let kept = kept.clone();
            async move {
                let mut body = request.into_body();
                let _ = body.frame().await;
                *kept.lock().expect("no panic") = Some(body);
                Ok::<_, Infallible>(Response::new(String::new()))
            }
        })
    };
    let tokens = TokenCache::new(AccessToken::new("t").expect("a token"));
    let layer = BearerAuthLayer::new(tokens, Origins::any_https()).replay(BufferBody::up_to(100));
    let body = Made {
        steps: [Step::Data(50), Step::Data(60)].into(),
        exact: false,
        at: 0,
        left: 110,
        held: held.clone(),
    };
    let request = Request::post("https://a.example/").body(Boxed::new(body));
    paused::block_on(layer.layer(service).oneshot(request.expect("a request"))).expect("an answer");
    assert_eq!(held.load(Ordering::SeqCst), 0);
    // A stream that continues after the response, as in gRPC, is read further.
    let mut body = kept.lock().expect("no panic").take().expect("the body");
    let frame = paused::block_on(body.frame())
        .expect("a frame")
        .expect("data");
    assert_eq!(frame.into_data().expect("data").len(), 60);
    assert_eq!(held.load(Ordering::SeqCst), 0);
}

/// A connection that waits for a frame of the first body learns that there are no
/// more.
#[test]
fn a_connection_that_waits_for_more_of_the_body_is_woken_when_the_replay_begins() {
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Broken;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
            Poll::Pending
        }
    }

    let service = tower::service_fn(|request: Request<Boxed>| async move {
        let first = request.headers()["authorization"] == "Bearer t1";
        let mut response = Response::new(String::new());
        if first {
            let mut body = request.into_body();
            // In a separate task, as a connection is.
            let ended = tokio::spawn(async move { body.frame().await.is_none() });
            tokio::task::yield_now().await;
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            ENDED.with(|it| *it.borrow_mut() = Some(ended));
        }
        Ok::<_, Infallible>(response)
    });
    thread_local! {
        static ENDED: std::cell::RefCell<Option<tokio::task::JoinHandle<bool>>> =
            const { std::cell::RefCell::new(None) };
    }
    let numbers = Arc::new(AtomicUsize::new(0));
    let tokens = TokenCache::new(move || {
        let number = numbers.fetch_add(1, Ordering::SeqCst) + 1;
        async move { AccessToken::new(format!("t{number}")) }
    });
    let layer = BearerAuthLayer::new(tokens, Origins::any_https()).replay(BufferBody::up_to(100));
    let request = Request::post("https://a.example/").body(Boxed::new(Silent));
    paused::block_on(async {
        let answer = layer
            .layer(service)
            .oneshot(request.expect("a request"))
            .await;
        assert_eq!(answer.expect("an answer").status(), 200);
        let ended = ENDED.with(|it| it.borrow_mut().take()).expect("a task");
        let minute = std::time::Duration::from_secs(60);
        let ended = tokio::time::timeout(minute, ended).await;
        assert!(ended.expect("it was woken").expect("no panic"));
    });
}
