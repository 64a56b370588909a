//! A token behind a tokio lock, as people write it by hand.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use tokio::sync::{Mutex, RwLock};
use tower::{Service, ServiceBuilder};

use super::BoxError;

/// What a login gives.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) expires: Instant,
}

impl Token {
    /// Expired a little early, so that it is not on its way when it expires.
    fn is_alive(&self) -> bool {
        self.expires > Instant::now() + MARGIN
    }
}

/// What people subtract from `expires_in`; small, for tokens of a few seconds.
pub(crate) const MARGIN: Duration = Duration::from_millis(500);

/// Logs in.
pub(crate) trait Login: Send + Sync + 'static {
    fn login(&self) -> impl Future<Output = Result<Token, BoxError>> + Send;
}

impl<F, Fut> Login for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Token, BoxError>> + Send,
{
    fn login(&self) -> impl Future<Output = Result<Token, BoxError>> + Send {
        self()
    }
}

/// Puts the header that a function gives on each request, with tower's own
/// `filter_async`: nothing boxed.
pub(crate) fn with_header<S, B, F, Fut>(
    inner: S,
    header: F,
) -> impl Service<
    Request<B>,
    Response = S::Response,
    Error = BoxError,
    Future = impl Future<Output = Result<S::Response, BoxError>> + Send,
> + Clone
+ Send
+ Sync
+ 'static
where
    S: Service<Request<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    S::Response: Send,
    B: Send + 'static,
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<HeaderValue, BoxError>> + Send + 'static,
{
    ServiceBuilder::new()
        .filter_async(move |mut request: Request<B>| {
            let header = header();
            async move {
                request.headers_mut().insert(AUTHORIZATION, header.await?);
                Ok::<_, BoxError>(request)
            }
        })
        .service(inner)
}

fn bearer(token: &Token) -> Result<HeaderValue, BoxError> {
    Ok(HeaderValue::from_str(&format!("Bearer {}", token.secret))?)
}

/// `Mutex<Option<Token>>`: a caller that finds none logs in under the lock.
pub(crate) struct Locked<L>(Mutex<Option<Token>>, L);

impl<L: Login> Locked<L> {
    pub(crate) fn new(login: L) -> Arc<Self> {
        Arc::new(Self(Mutex::new(None), login))
    }

    pub(crate) async fn header(self: Arc<Self>) -> Result<HeaderValue, BoxError> {
        let mut token = self.0.lock().await;
        if let Some(token) = token.as_ref().filter(|token| token.is_alive()) {
            return bearer(token);
        }
        let new = self.1.login().await?;
        bearer(token.insert(new))
    }
}

/// `RwLock<Option<Token>>`: reads in parallel, and looks again under the write
/// lock.
pub(crate) struct ReadLocked<L>(RwLock<Option<Token>>, L);

impl<L: Login> ReadLocked<L> {
    pub(crate) fn new(login: L) -> Arc<Self> {
        Arc::new(Self(RwLock::new(None), login))
    }

    pub(crate) async fn header(self: Arc<Self>) -> Result<HeaderValue, BoxError> {
        if let Some(token) = self
            .0
            .read()
            .await
            .as_ref()
            .filter(|token| token.is_alive())
        {
            return bearer(token);
        }
        let mut token = self.0.write().await;
        if let Some(token) = token.as_ref().filter(|token| token.is_alive()) {
            return bearer(token);
        }
        let new = self.1.login().await?;
        bearer(token.insert(new))
    }
}
