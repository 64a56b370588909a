//! Clients of the server's API with the layer.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceExt};

use tower_bearer::{BearerAuth, BearerAuthLayer, Error, NoReplay, Origins, TokenCache, TokenError};

use crate::load::Call;

type Copied = Full<Bytes>;
/// A body of which there is one only, as a stream is.
type Single = BoxBody<Bytes, Infallible>;
pub(crate) type Http<B> = Client<HttpConnector, B>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bodies {
    Copied,
    /// Requests are sent once only.
    NotCopied,
}

/// A client with the layer.
#[derive(Clone)]
pub(crate) struct Stack {
    client: Inner,
    method: Method,
    url: String,
}

#[derive(Clone)]
enum Inner {
    Copied(BearerAuth<Http<Copied>>),
    NotCopied(BearerAuth<Http<Single>, NoReplay>),
}

impl Stack {
    /// A client of an API at a server.
    pub(crate) fn new(
        tokens: &TokenCache,
        bodies: Bodies,
        method: &str,
        server: &str,
        path: &str,
    ) -> Self {
        let origins = Origins::only([server]).expect("an origin");
        let layer = BearerAuthLayer::new(tokens.clone(), origins);
        let client = match bodies {
            Bodies::Copied => Inner::Copied(layer.layer(client())),
            Bodies::NotCopied => Inner::NotCopied(layer.replay(NoReplay).layer(client())),
        };
        Self {
            client,
            method: method.parse().expect("a method"),
            url: format!("{server}{path}"),
        }
    }

    fn request<B>(&self, body: impl FnOnce(Full<Bytes>) -> B) -> Request<B> {
        // Empty where the API is read by GET.
        let (text, length) = match self.method {
            Method::GET => ("", None),
            _ => ("{}", Some(2)),
        };
        let mut request = Request::new(body(Full::from(text)));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.url.parse().expect("a URL");
        let headers = request.headers_mut();
        headers.insert("content-type", "application/json".parse().expect("a value"));
        if let Some(length) = length {
            headers.insert("content-length", length.into());
        }
        request
    }
}

impl Call for Stack {
    async fn call(&self) -> Result<u16, TokenError> {
        let response = match &self.client {
            Inner::Copied(client) => client.clone().oneshot(self.request(|body| body)).await,
            Inner::NotCopied(client) => {
                let request = self.request(|body| body.boxed());
                client.clone().oneshot(request).await
            }
        };
        match response {
            Ok(response) => {
                let status = response.status().as_u16();
                response.collect().await.expect("the API's answer");
                Ok(status)
            }
            Err(Error::Token(error)) => Err(error),
            Err(error) => panic!("the API cannot be reached: {error:?}"),
        }
    }
}

/// A client that keeps connections.
pub(crate) fn client<B>() -> Http<B>
where
    B: http_body::Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}
