//! How each peer is set up, for tokens of the same endpoint.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use google_cloud_auth::credentials::{CacheableResource, user_account};
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderValue};
use middle::{Authorizer, BasicClientCredentialAuthorizer};
use toolkit_auth::oauth2::BearerAuthLayer as GearsLayer;
use toolkit_auth::{OAuthClientConfig, SecretString, TokenProvider};
use toolkit_http::{HttpClientConfig, HttpError, TransportSecurity};
use tower::Layer;
use tower_bearer::{AccessToken, TokenCache};

use crate::api::Api;
use crate::aws::LazyIdentity;
use crate::azure::Pipeline;
use crate::endpoint::Endpoint;
use crate::lineup::Peer;
use crate::reqwest_auth::Client;
use crate::support::BoxError;
use crate::support::by_hand::{Locked, MARGIN, ReadLocked, Token, with_header};
use crate::support::drive::{Stack, stack};
use crate::support::stack::{bearer, constant};

use Peer::*;

impl Peer {
    /// Within a runtime: some start a task at once.
    pub(crate) async fn build(self, endpoint: &Arc<Endpoint>, checks: bool) -> Box<dyn Stack> {
        let api = Api::<Infallible>::new(checks);
        let of = endpoint.clone();
        let login = move || {
            let of = of.clone();
            async move {
                let secret = of.issue().await.secret;
                let expires = Instant::now() + of.lifetime();
                Ok::<_, BoxError>(Token { secret, expires })
            }
        };
        match self {
            Bare => stack(api, ()),
            Constant => stack(constant().layer(api), ()),
            Wrapper => {
                let header = value(&login().await.expect("a token")).expect("a header value");
                let header = move || ready(Ok(header.clone()));
                stack(with_header(api, header), ())
            }
            TowerBearer => {
                let tokens = TokenCache::new(move || {
                    let login = login();
                    async move {
                        let Token { secret, expires } = login.await?;
                        let lifetime = expires.saturating_duration_since(Instant::now());
                        Ok::<_, BoxError>(AccessToken::new(secret)?.with_lifetime(lifetime))
                    }
                });
                stack(bearer(&tokens).layer(api), ())
            }
            Gears => gears(endpoint, checks).await,
            AzureBare => stack(Pipeline::bare(false), ()),
            Azure => stack(Pipeline::with_token(endpoint.clone(), checks), ()),
            Google => google(endpoint, api).await,
            Middle => middle(endpoint, api).await,
            ReqwestBare => stack(Client::bare(), ()),
            ReqwestAuth => {
                let user = authorized_user(endpoint.clone().serve().await);
                stack(Client::with_token(&user, checks).await, ())
            }
            Aws => {
                let cache = LazyIdentity::new(endpoint.clone());
                stack(with_header(api, move || cache.clone().header()), ())
            }
            Moka => {
                // A token leaves the cache before it expires.
                let cache = moka::future::Cache::<(), HeaderValue>::builder()
                    .max_capacity(1)
                    .time_to_live(endpoint.lifetime() - MARGIN)
                    .build();
                let both = Arc::new((cache, login));
                let header = move || {
                    let both = both.clone();
                    async move {
                        let (cache, login) = &*both;
                        let header = cache.try_get_with((), async { value(&login().await?) });
                        header
                            .await
                            .map_err(|error| BoxError::from(error.to_string()))
                    }
                };
                stack(with_header(api, header), ())
            }
            Mutex => {
                let token = Locked::new(login);
                stack(with_header(api, move || token.clone().header()), ())
            }
            RwLock => {
                let token = ReadLocked::new(login);
                stack(with_header(api, move || token.clone().header()), ())
            }
            OnceCell => {
                let both = Arc::new((tokio::sync::OnceCell::<HeaderValue>::new(), login));
                let header = move || {
                    let both = both.clone();
                    async move {
                        let (cell, login) = &*both;
                        let header = cell.get_or_try_init(|| async { value(&login().await?) });
                        header.await.cloned()
                    }
                };
                stack(with_header(api, header), ())
            }
        }
    }
}

fn value(token: &Token) -> Result<HeaderValue, BoxError> {
    Ok(HeaderValue::from_str(&format!("Bearer {}", token.secret))?)
}

/// As its README has it, but for what its documentation tells to set: a window
/// that fits tokens of seconds, and loopback without TLS.
async fn gears(endpoint: &Arc<Endpoint>, checks: bool) -> Box<dyn Stack> {
    let address = endpoint.clone().serve().await;
    let mut http = HttpClientConfig::token_endpoint();
    http.transport = TransportSecurity::AllowInsecureHttp;
    let mut config = OAuthClientConfig {
        token_endpoint: Some(format!("http://{address}/token").parse().expect("a URL")),
        client_id: "api".into(),
        client_secret: SecretString::new("secret"),
        http_config: Some(http),
        ..Default::default()
    };
    if endpoint.lifetime() < Duration::from_secs(60) {
        config.refresh_offset = Duration::from_secs(2);
        config.jitter_max = Duration::ZERO;
        config.min_refresh_period = Duration::from_secs(1);
    }
    let provider = TokenProvider::new(config).expect("a provider");
    stack(
        GearsLayer::new(provider).layer(Api::<HttpError>::new(checks)),
        (),
    )
}

async fn google(endpoint: &Arc<Endpoint>, api: Api<Infallible>) -> Box<dyn Stack> {
    let user = authorized_user(endpoint.clone().serve().await);
    let credentials = user_account::Builder::new(user)
        .build()
        .expect("credentials");
    let header = move || {
        let credentials = credentials.clone();
        async move {
            match credentials.headers(Extensions::new()).await? {
                CacheableResource::New { mut data, .. } => {
                    data.remove(AUTHORIZATION).ok_or("no header".into())
                }
                CacheableResource::NotModified => Err("nothing was asked about".into()),
            }
        }
    };
    stack(with_header(api, header), ())
}

/// What `gcloud auth application-default login` leaves in a file.
fn authorized_user(endpoint: SocketAddr) -> serde_json::Value {
    serde_json::json!({
        "type": "authorized_user",
        "client_id": "api",
        "client_secret": "secret",
        "refresh_token": "refresh",
        "token_uri": format!("http://{endpoint}/token"),
    })
}

/// Its client puts the header on a request just as the wrapper does, but can send with
/// nothing except reqwest.
async fn middle(endpoint: &Arc<Endpoint>, api: Api<Infallible>) -> Box<dyn Stack> {
    let address = endpoint.clone().serve().await;
    let url = format!("http://{address}/token").parse().expect("a URL");
    let authorizer = BasicClientCredentialAuthorizer::basic_builder("api", "secret", url)
        .build()
        .await
        .expect("a first token");
    let header = move || {
        let header = authorizer.authorization_header();
        ready(header.map(Arc::unwrap_or_clone).map_err(BoxError::from))
    };
    stack(with_header(api, header), ())
}
