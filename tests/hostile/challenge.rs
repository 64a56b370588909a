//! Challenges: each line is a `WWW-Authenticate` header of the API's 401.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer, ServiceExt};
use tower_bearer::{AccessToken, BearerAuthLayer, Origins, Outcome, TokenCache};

use crate::paused;

pub(crate) fn check(input: &[u8]) {
    let values = input.split(|byte| *byte == b'\n');
    let challenges: Vec<_> = values
        .filter_map(|value| HeaderValue::from_bytes(value).ok())
        .collect();
    let ours = is_ours(&challenges);
    for bearer in [b"BEARER", b"bEaReR"] {
        let spelled: Vec<_> = challenges
            .iter()
            .map(|value| HeaderValue::from_bytes(&spell(value.as_bytes(), bearer)))
            .collect::<Result<_, _>>()
            .expect("a value as before");
        assert_eq!(
            is_ours(&spelled),
            ours,
            "another case, another decision: {challenges:?}"
        );
    }
    let backwards: Vec<_> = challenges.iter().rev().cloned().collect();
    assert_eq!(
        is_ours(&backwards),
        ours,
        "another order, another decision: {challenges:?}"
    );
    let with = |more| {
        let more = HeaderValue::from_static(more);
        is_ours(&[challenges.as_slice(), &[more]].concat())
    };
    assert!(with("Bearer"), "not ours beside {challenges:?}");
    assert!(with(r#"Basic realm="x", bearer realm="y""#));
    for other in [
        "Basic",
        r#"DPoP algs="ES256 Bearer""#,
        r#"Bearer error="insufficient_scope""#,
    ] {
        // Another challenge never turns a 401 into a rejection.
        assert!(
            !with(other) || ours,
            "{other} makes it ours: {challenges:?}"
        );
    }
    if challenges.iter().all(|value| !speaks_of_scope(value)) {
        assert!(ours, "whatever scheme it names: {challenges:?}");
    }
}

/// With every "bearer" in this spelling.
fn spell(value: &[u8], bearer: &[u8; 6]) -> Vec<u8> {
    let mut spelled = value.to_vec();
    let mut at = 0;
    while at + bearer.len() <= spelled.len() {
        let piece = &mut spelled[at..at + bearer.len()];
        if piece.eq_ignore_ascii_case(bearer) {
            piece.copy_from_slice(bearer);
            at += bearer.len();
        } else {
            at += 1;
        }
    }
    spelled
}

fn speaks_of_scope(value: &HeaderValue) -> bool {
    let scope = b"insufficient_scope";
    value.as_bytes().windows(scope.len()).any(|it| it == scope)
}

/// Whether a 401 with these challenges makes the layer replay the request, and
/// whether all that must follow does follow.
fn is_ours(challenges: &[HeaderValue]) -> bool {
    let (fetches, sends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (fetched, sent) = (fetches.clone(), sends.clone());
    let tokens = TokenCache::new(move || {
        let number = fetched.fetch_add(1, Ordering::SeqCst) + 1;
        async move { AccessToken::new(format!("t{number}")) }
    });
    let challenges = challenges.to_vec();
    let api = tower::service_fn(move |request: Request<()>| {
        sent.fetch_add(1, Ordering::SeqCst);
        let mut response = Response::new(String::new());
        if request.headers()[AUTHORIZATION] == "Bearer t1" {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            for challenge in &challenges {
                response
                    .headers_mut()
                    .append(WWW_AUTHENTICATE, challenge.clone());
            }
        }
        async { Ok::<_, Infallible>(response) }
    });
    let origins = Origins::only(["https://api.example.com"]).expect("an origin");
    let api = BearerAuthLayer::new(tokens.clone(), origins).layer(api);
    let request = Request::get("https://api.example.com/").body(());
    let response = paused::block_on(api.oneshot(request.expect("a request"))).expect("an answer");

    let outcome = response.extensions().get().copied();
    let ours = outcome == Some(Outcome::Replayed);
    let (fetches, sends) = (fetches.load(Ordering::SeqCst), sends.load(Ordering::SeqCst));
    if ours {
        assert_eq!((response.status().as_u16(), fetches, sends), (200, 2, 2));
    } else {
        assert_eq!(outcome, Some(Outcome::Unrelated));
        assert_eq!((response.status().as_u16(), fetches, sends), (401, 1, 1));
        assert_eq!(tokens.status().generation, Some(1), "the token is given up");
    }
    ours
}
