//! A token endpoint that sends logins and refreshes to different servers.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::ServiceExt;

use tower_bearer::testing::{MockBody, MockResponse, TokenServer, TokenService};
use tower_bearer::transport::Transport;

/// What a token endpoint was asked for, and when.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<(Instant, bool)>>>);

impl Requests {
    fn add(&self, is_refresh: bool) {
        let mut requests = self.0.lock().expect("no panic");
        requests.push((Instant::now(), is_refresh));
    }

    pub(crate) fn all(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    pub(crate) fn refreshes(&self) -> usize {
        let requests = self.0.lock().expect("no panic");
        requests.iter().filter(|(_, refresh)| *refresh).count()
    }

    pub(crate) fn logins(&self) -> usize {
        self.all() - self.refreshes()
    }

    /// The shortest time from one request to the next.
    pub(crate) fn shortest_pause(&self) -> Option<Duration> {
        let requests = self.0.lock().expect("no panic");
        let pauses = requests.windows(2).map(|two| two[1].0 - two[0].0);
        pauses.min()
    }
}

/// The server's token endpoint, whose requests are counted.
pub(crate) fn watched(requests: &Requests, server: &TokenServer) -> impl Transport {
    by_grant(requests, server.service(), server.service())
}

/// A server that gives this answer to each token request.
pub(crate) fn answering(answer: MockResponse) -> TokenService {
    let server = TokenServer::builder().in_process();
    server.token_endpoint().set_default(answer);
    server.service()
}

/// A token endpoint whose refreshes another server answers than its logins.
pub(crate) fn by_grant(
    requests: &Requests,
    logins: TokenService,
    refreshes: TokenService,
) -> impl Transport {
    let requests = requests.clone();
    tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (logins, refreshes) = (logins.clone(), refreshes.clone());
        let requests = requests.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let is_refresh = is_refresh(&body);
            requests.add(is_refresh);
            let service = if is_refresh { refreshes } else { logins };
            let request = Request::from_parts(head, Full::new(body));
            service.oneshot(request).await
        }
    })
}

/// A token endpoint at which each refresh panics.
pub(crate) fn panicking(requests: &Requests, logins: TokenService) -> impl Transport {
    let requests = requests.clone();
    tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (logins, requests) = (logins.clone(), requests.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let is_refresh = is_refresh(&body);
            requests.add(is_refresh);
            assert!(!is_refresh, "a refresh");
            let request = Request::from_parts(head, Full::new(body));
            logins.oneshot(request).await as io::Result<Response<MockBody>>
        }
    })
}

fn is_refresh(form: &[u8]) -> bool {
    let form = std::str::from_utf8(form).expect("ascii");
    form.contains("grant_type=refresh_token")
}
