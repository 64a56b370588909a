//! Where a token goes with reqwest, whose requests carry a URL: input as in
//! `origins.rs`. Not a fuzz target, because reqwest is missing there.

use std::convert::Infallible;

use http::Response;
use http::header::AUTHORIZATION;
use reqwest::{Method, Request, Url};
use tower::{Layer, ServiceExt};
use tower_bearer::{AccessToken, BearerAuthLayer, Origins, TokenCache};

use crate::{origins, paused};

pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (allowed, url) = text.split_once('\n').unwrap_or((&text, &text));
    let (Ok(origins), Ok(url)) = (Origins::only([allowed]), Url::parse(url)) else {
        return;
    };
    let expected = url.origin() == origins::named(allowed).origin();
    let tokens = TokenCache::new(AccessToken::new("t0ken").expect("a token"));
    let api = tower::service_fn(|request: Request| async move {
        let carries = request.headers().contains_key(AUTHORIZATION);
        Ok::<_, Infallible>(Response::new(carries.to_string()))
    });
    let api = BearerAuthLayer::new(tokens, origins).layer(api);
    let request = Request::new(Method::GET, url.clone());
    let response = paused::block_on(api.oneshot(request)).expect("an answer");
    assert_eq!(response.into_body(), expected.to_string(), "{url}");
}
