//! The two stacks with the layer.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tower::{Layer, ServiceExt};

use tower_bearer::grant::Grant;
use tower_bearer::{
    BearerAuth, BearerAuthLayer, Error, Origins, TokenCache, TokenCacheBuilder, TokenError,
    TokenSource,
};

use crate::leaks;
use crate::load::Call;

pub(crate) type Body = Full<Bytes>;
type Https = Client<HttpsConnector<HttpConnector>, Body>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// hyper-util's client to the API and, with hyper-rustls, to the token
    /// endpoint.
    Hyper,
    /// reqwest-middleware to the API, and the default transport.
    Reqwest,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Hyper, Self::Reqwest];

    /// A cache of a grant's tokens, to be set up further.
    pub(crate) fn tokens<K>(self, grant: Grant<K>) -> TokenCacheBuilder
    where
        Grant<K>: TokenSource,
        Grant<K, Https>: TokenSource,
    {
        match self {
            Self::Hyper => TokenCache::builder(grant.transport(https())),
            Self::Reqwest => TokenCache::builder(grant),
        }
    }

    /// A client of an API with these tokens.
    pub(crate) fn stack(self, tokens: &TokenCache, api: &str) -> Stack {
        let origins = Origins::only([api]).expect("an origin");
        let layer = BearerAuthLayer::new(tokens.clone(), origins);
        let client = match self {
            Self::Hyper => Inner::Hyper(Box::new(layer.layer(https()))),
            Self::Reqwest => Inner::Reqwest(
                ClientBuilder::new(reqwest::Client::new())
                    .with(layer)
                    .build(),
            ),
        };
        Stack {
            client,
            url: format!("{api}/"),
        }
    }
}

/// hyper-util's client, which trusts the platform's authorities: here the run's own.
pub(crate) fn https() -> Https {
    let connector = HttpsConnectorBuilder::new()
        .try_with_platform_verifier()
        .expect("a verifier")
        .https_or_http()
        .enable_http1()
        .build();
    Client::builder(TokioExecutor::new()).build(connector)
}

/// A client with the layer.
#[derive(Clone)]
pub(crate) struct Stack {
    client: Inner,
    url: String,
}

#[derive(Clone)]
enum Inner {
    Hyper(Box<BearerAuth<Https>>),
    Reqwest(ClientWithMiddleware),
}

impl Stack {
    /// The status of one call of the API, or why there was no token for it.
    /// Any other failure is one of the test's own.
    pub(crate) async fn call(&self) -> Result<u16, TokenError> {
        let result = match &self.client {
            Inner::Hyper(client) => {
                let request = Request::get(&self.url).body(Body::default());
                match (**client)
                    .clone()
                    .oneshot(request.expect("a request"))
                    .await
                {
                    Ok(answer) => {
                        let status = answer.status();
                        answer.collect().await.expect("the API's answer");
                        Ok(status)
                    }
                    Err(Error::Token(error)) => Err(error),
                    Err(error) => panic!("the API cannot be reached: {error:?}"),
                }
            }
            Inner::Reqwest(client) => match client.get(&self.url).send().await {
                Ok(answer) => Ok(answer.status()),
                Err(error) => Err(TokenError::find(&error)
                    .unwrap_or_else(|| panic!("the API cannot be reached: {error:?}"))
                    .clone()),
            },
        };
        result
            .map(|status| status.as_u16())
            .inspect_err(|error| leaks::look(&format!("{error} {error:?}")))
    }
}

impl Call for Stack {
    async fn call(&self) -> Result<u16, TokenError> {
        Self::call(self).await
    }
}
