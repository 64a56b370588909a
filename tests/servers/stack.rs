//! Clients of the server's API with the layer.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use tower_bearer::{
    BearerAuthLayer, BufferBody, CloneBody, Error, NoReplay, Origins, Rejection, RejectionPolicy,
    TokenCache, TokenError,
};

use crate::about::Api;
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
    /// What was sent is kept.
    Kept,
}

/// A client with the layer in front of it.
type Layered<B> =
    BoxCloneSyncService<Request<B>, Response<Incoming>, Error<hyper_util::client::legacy::Error>>;

/// A client with the layer.
#[derive(Clone)]
pub(crate) struct Stack {
    client: Inner,
    method: Method,
    url: String,
}

#[derive(Clone)]
enum Inner {
    Copied(Layered<Copied>),
    Single(Layered<Single>),
}

impl Inner {
    fn new<R>(bodies: Bodies, layer: BearerAuthLayer<CloneBody, Rejection<R>>) -> Self
    where
        Rejection<R>: RejectionPolicy<Response<Incoming>, Response = Response<Incoming>>,
        R: Send + Sync + 'static,
    {
        match bodies {
            Bodies::Copied => Self::Copied(boxed(layer.layer(client()))),
            Bodies::NotCopied => Self::Single(boxed(layer.replay(NoReplay).layer(client()))),
            Bodies::Kept => {
                let layer = layer.replay(BufferBody::up_to(1024));
                Self::Single(boxed(layer.layer(client())))
            }
        }
    }
}

impl Stack {
    /// A client of an API at a server.
    pub(crate) fn new(tokens: &TokenCache, bodies: Bodies, server: &str, api: &Api) -> Self {
        let origins = Origins::only([server]).expect("an origin");
        let layer = BearerAuthLayer::new(tokens.clone(), origins);
        let client = match api.rejects_by.as_slice() {
            // As it is without a policy.
            [401] => Inner::new(bodies, layer),
            statuses => {
                let statuses = statuses.iter().copied();
                Inner::new(bodies, layer.reject_on(Rejection::statuses(statuses)))
            }
        };
        Self {
            client,
            method: api.method.parse().expect("a method"),
            url: format!("{server}{}", api.path),
        }
    }

    fn request<B>(&self, body: impl FnOnce(Full<Bytes>) -> B) -> Request<B> {
        // Empty if the API is read by GET.
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
            Inner::Single(client) => {
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

fn boxed<S, B>(service: S) -> Layered<B>
where
    S: Service<
            Request<B>,
            Response = Response<Incoming>,
            Error = Error<hyper_util::client::legacy::Error>,
        > + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: 'static,
{
    BoxCloneSyncService::new(service)
}

/// A client that keeps connections.
pub(crate) fn client<B>() -> Http<B>
where
    B: http_body::Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}
