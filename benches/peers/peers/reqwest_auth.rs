//! reqwest-auth is a middleware of reqwest-middleware, whose requests are reqwest's. So
//! it is measured over a client of reqwest-middleware without it: one service that builds
//! reqwest's request and sends it through the middlewares it has, the last of which
//! answers in place of a network.
//!
//! token-source, where its tokens come from, has traits only. Tokens that are fetched and
//! renewed come from gcloud-auth, which its documentation names.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use gcloud_auth::credentials::CredentialsFile;
use gcloud_auth::project::Config;
use gcloud_auth::token::DefaultTokenSourceProvider;
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::{Extensions, HeaderValue, Method, StatusCode};
use http_body_util::Empty;
use reqwest_auth::AuthorizationHeaderMiddleware;
use reqwest_middleware::reqwest::{self, Request, Response, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use token_source::TokenSourceProvider;
use tower::Service;

use crate::endpoint::is_alive;
use crate::support::BoxError;

#[derive(Clone)]
pub(crate) struct Client(Arc<ClientWithMiddleware>, Url);

impl Client {
    pub(crate) fn bare() -> Self {
        Self::of(builder().with(Last { checks: false }))
    }

    /// Fetches a first token at once.
    pub(crate) async fn with_token(user: &serde_json::Value, checks: bool) -> Self {
        let user = user.to_string();
        let user = CredentialsFile::new_from_str(&user).await;
        let user = Box::new(user.expect("credentials"));
        let tokens = DefaultTokenSourceProvider::new_with_credentials(Config::default(), user);
        let tokens = tokens.await.expect("a first token").token_source();
        let auth = AuthorizationHeaderMiddleware::from(tokens);
        Self::of(builder().with(auth).with(Last { checks }))
    }

    fn of(client: ClientBuilder) -> Self {
        let url = Url::parse("https://api.example.com/v1/calls").expect("a URL");
        Self(Arc::new(client.build()), url)
    }
}

fn builder() -> ClientBuilder {
    ClientBuilder::new(reqwest::Client::new())
}

impl Service<http::Request<()>> for Client {
    type Response = http::Response<Empty<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<()>) -> Self::Future {
        let Self(client, url) = self.clone();
        Box::pin(async move {
            let mut request = Request::new(Method::GET, url);
            let headers = request.headers_mut();
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            headers.insert(USER_AGENT, HeaderValue::from_static("bench/1.0"));
            let answer = client.execute(request).await?;
            let mut response = http::Response::new(Empty::new());
            *response.status_mut() = answer.status();
            Ok(response)
        })
    }
}

/// The end of the stack, in place of reqwest's own client.
struct Last {
    checks: bool,
}

#[async_trait]
impl Middleware for Last {
    async fn handle(
        &self,
        request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let token = request.headers().get(AUTHORIZATION);
        let mut response = http::Response::new("");
        if self.checks && !token.is_some_and(|token| is_alive(token.as_bytes())) {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        Ok(response.into())
    }
}
