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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Login,
    Refresh,
    /// To end a session.
    Other,
}

/// The requests to a token endpoint, and when they came.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<(Instant, Asked)>>>);

impl Requests {
    fn add(&self, asked: Asked) {
        let mut requests = self.0.lock().expect("no panic");
        requests.push((Instant::now(), asked));
    }

    fn count(&self, asked: Asked) -> usize {
        let requests = self.0.lock().expect("no panic");
        requests.iter().filter(|(_, it)| *it == asked).count()
    }

    pub(crate) fn all(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    pub(crate) fn refreshes(&self) -> usize {
        self.count(Asked::Refresh)
    }

    pub(crate) fn logins(&self) -> usize {
        self.count(Asked::Login)
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
            let asked = asked(&body);
            requests.add(asked);
            let service = match asked {
                Asked::Refresh => refreshes,
                _ => logins,
            };
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
            let asked = asked(&body);
            requests.add(asked);
            assert_ne!(asked, Asked::Refresh);
            let request = Request::from_parts(head, Full::new(body));
            logins.oneshot(request).await as io::Result<Response<MockBody>>
        }
    })
}

fn asked(form: &[u8]) -> Asked {
    let form = std::str::from_utf8(form).expect("ascii");
    if form.contains("grant_type=refresh_token") {
        Asked::Refresh
    } else if form.contains("grant_type=") {
        Asked::Login
    } else {
        Asked::Other
    }
}
