//! azure_core's policy has its own requests and pipeline, not tower's. So it is
//! measured against its own bare pipeline: one service that builds azure's request
//! and sends it through the policies it has, the last of which does nothing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::headers::{AUTHORIZATION, Headers};
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Method, Request, StatusCode, Url};
use azure_core::time::OffsetDateTime;
use bytes::Bytes;
use http_body_util::Empty;
use tower::Service;

use crate::endpoint::{Endpoint, is_alive};
use crate::support::BoxError;

#[derive(Clone)]
pub(crate) struct Pipeline(Arc<[Arc<dyn Policy>]>, Url);

impl Pipeline {
    pub(crate) fn bare(checks: bool) -> Self {
        Self::of(vec![Arc::new(Last { checks })])
    }

    pub(crate) fn with_token(endpoint: Arc<Endpoint>, checks: bool) -> Self {
        let credential = Arc::new(Credential(endpoint));
        let policy = BearerTokenAuthorizationPolicy::new(credential, ["api"]);
        Self::of(vec![Arc::new(policy), Arc::new(Last { checks })])
    }

    fn of(policies: Vec<Arc<dyn Policy>>) -> Self {
        let url = Url::parse("https://api.example.com/v1/calls").expect("a URL");
        Self(policies.into(), url)
    }
}

impl Service<http::Request<()>> for Pipeline {
    type Response = http::Response<Empty<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<()>) -> Self::Future {
        let Self(policies, url) = self.clone();
        Box::pin(async move {
            let mut request = Request::new(url, Method::Get);
            request.insert_header("accept", "application/json");
            request.insert_header("user-agent", "bench/1.0");
            let context = azure_core::http::Context::new();
            let answer = policies[0]
                .send(&context, &mut request, &policies[1..])
                .await?;
            let mut response = http::Response::new(Empty::new());
            *response.status_mut() = http::StatusCode::from_u16(u16::from(answer.status()))?;
            Ok(response)
        })
    }
}

/// The end of the pipeline, in place of a client.
#[derive(Debug)]
struct Last {
    checks: bool,
}

#[async_trait]
impl Policy for Last {
    async fn send(
        &self,
        _: &azure_core::http::Context,
        request: &mut Request,
        _: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let alive = || {
            let token = request.headers().get_optional_str(&AUTHORIZATION);
            token.is_some_and(|token| is_alive(token.as_bytes()))
        };
        let status = if !self.checks || alive() {
            StatusCode::Ok
        } else {
            StatusCode::Unauthorized
        };
        Ok(AsyncRawResponse::from_bytes(
            status,
            Headers::new(),
            Vec::new(),
        ))
    }
}

struct Credential(Arc<Endpoint>);

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

#[async_trait]
impl TokenCredential for Credential {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let issued = self.0.issue().await;
        let expires = OffsetDateTime::from(issued.expires);
        Ok(AccessToken::new(issued.secret, expires))
    }
}
