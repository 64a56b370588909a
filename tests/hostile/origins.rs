//! Where a token goes: the first line is the one origin that may see it, the
//! second the URI of a request.

use std::convert::Infallible;

use http::header::AUTHORIZATION;
use http::{Request, Response, Uri};
use tower::{Layer, ServiceExt};
use tower_bearer::{AccessToken, BearerAuthLayer, Origins, TokenCache, TokenError, TokenErrorKind};
use url::{Host, Url};

use crate::paused;

pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (allowed, uri) = text.split_once('\n').unwrap_or((&text, &text));
    let uri = uri.parse().ok();
    if let Some(uri) = &uri {
        any_https(uri);
    }
    match Origins::only([allowed]) {
        Ok(origins) => {
            let allowed = named(allowed);
            if let Some(uri) = &uri {
                permitted(&origins, &allowed, uri);
            }
        }
        Err(error) => {
            let shown = format!("{error} {error:?}");
            // Before an `@` there may be a password.
            assert!(!allowed.contains('@') || !shown.contains('@'), "{shown}");
        }
    }
}

/// The permitted origin: an origin and nothing else, and not plain http.
pub(crate) fn named(allowed: &str) -> Url {
    let url = Url::parse(allowed).expect("an origin is a URL");
    assert!(
        url.username().is_empty() && url.password().is_none(),
        "{url}"
    );
    assert!(
        url.path() == "/" && url.query().is_none() && url.fragment().is_none(),
        "{url}"
    );
    let loopback = match url.host().expect("a host") {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    assert!(
        url.scheme() == "https" || (url.scheme() == "http" && loopback),
        "{url}"
    );
    url
}

fn any_https(uri: &Uri) {
    let permits = Origins::any_https().permit(uri);
    assert!(!permits || uri.scheme_str() == Some("https"), "{uri}");
    if let Ok(url) = Url::parse(&uri.to_string()) {
        assert_eq!(
            permits,
            url.scheme() == "https" && is_addressed(uri),
            "{uri}"
        );
    }
}

fn is_addressed(uri: &Uri) -> bool {
    uri.scheme().is_some() && uri.authority().is_some()
}

fn permitted(origins: &Origins, allowed: &Url, uri: &Uri) {
    let permits = origins.permit(uri);
    let url = Url::parse(&uri.to_string()).ok();
    if permits {
        let url = url.as_ref().expect("the token goes to what is no URL");
        assert_eq!(url.origin(), allowed.origin(), "{uri}");
        // And to where a client connects that uses the URI's own parts.
        let host = uri.host().expect("a host");
        let spelled = Url::parse(&format!("{}://{host}/", allowed.scheme()));
        assert_eq!(spelled.expect("a host").host(), allowed.host(), "{uri}");
        let port = uri.port_u16().or_else(|| url.port_or_known_default());
        assert_eq!(port, allowed.port_or_known_default(), "{uri}");
    }
    // In the spelling of the URL standard there is nothing to be read twice.
    if let Some(url) = url
        && let Ok(plain) = url.as_str().parse()
    {
        let same = url.origin() == allowed.origin();
        assert_eq!(origins.permit(&plain), same, "{plain} is {same}");
    }
    assert_eq!(
        carries_a_token(origins, uri),
        permits
            .then_some(true)
            .or(is_addressed(uri).then_some(false)),
        "{uri}"
    );
}

/// Whether the layer attaches the token; `None` if the request is refused.
fn carries_a_token(origins: &Origins, uri: &Uri) -> Option<bool> {
    let tokens = TokenCache::new(AccessToken::new("t0ken").expect("a token"));
    let api = tower::service_fn(|request: Request<()>| async move {
        let header = request.headers().get(AUTHORIZATION);
        let carries = header.is_some_and(|value| value == "Bearer t0ken");
        Ok::<_, Infallible>(Response::new(carries.to_string()))
    });
    let api = BearerAuthLayer::new(tokens, origins.clone()).layer(api);
    let mut request = Request::new(());
    *request.uri_mut() = uri.clone();
    match paused::block_on(api.oneshot(request)) {
        Ok(response) => Some(response.into_body() == "true"),
        Err(error) => {
            let error = TokenError::find(&error).expect("no other error");
            assert_eq!(error.kind(), TokenErrorKind::RelativeUri);
            None
        }
    }
}
