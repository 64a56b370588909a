//! The layer against real resource servers, which `bash tests/resource_servers/run`
//! starts: a token that was revoked early is replaced, at the cost of one token
//! request for any number of callers.

use reqwest::{Client, Method};
use serde_json::Value;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{
    BearerAuthLayer, BoxError, Origins, Outcome, PasswordGrant, Rejection, TokenCache,
};

/// A server and its URL.
struct Server {
    url: String,
    client: Client,
}

impl Server {
    fn new(variable: &str) -> Self {
        let url = std::env::var(variable)
            .unwrap_or_else(|_| panic!("no {variable}: start this by tests/resource_servers/run"));
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { url, client }
    }

    fn layer(&self) -> BearerAuthLayer {
        let grant = PasswordGrant::new(format!("{}/token", self.url), "api", "me", "secret");
        let tokens = TokenCache::new(grant.expect("a grant"));
        BearerAuthLayer::new(tokens, Origins::only([&self.url]).expect("an origin"))
    }

    fn request(&self, path: &str) -> reqwest::Request {
        let url = format!("{}{path}", self.url).parse().expect("a URL");
        reqwest::Request::new(Method::GET, url)
    }

    /// All tokens so far are dead, though they were to live for an hour.
    async fn kill_tokens(&self) {
        let killed = self.client.post(format!("{}/kill", self.url)).send().await;
        assert_eq!(killed.expect("an answer").status(), 200);
    }

    /// Token requests, and answers that let a caller in and that did not.
    async fn counts(&self) -> [u64; 3] {
        let counts = self.client.get(format!("{}/counts", self.url)).send().await;
        let text = counts.expect("an answer").text().await.expect("a body");
        let counts: Value = serde_json::from_str(&text).expect("JSON");
        ["tokens", "accepted", "rejected"].map(|name| counts[name].as_u64().expect("a count"))
    }

    /// Returns its response to an invalid token: status and challenge.
    async fn raw(&self, path: &str, token: &str) -> (u16, Option<String>) {
        let url = format!("{}{path}", self.url);
        let answer = self.client.get(url).bearer_auth(token).send().await;
        let answer = answer.expect("an answer");
        let challenge = answer.headers().get("www-authenticate");
        let challenge = challenge.map(|value| value.to_str().expect("text").to_owned());
        (answer.status().as_u16(), challenge)
    }

    /// Fifty cold callers, then a token that dies under fifty.
    async fn recovers<S>(&self, api: S, path: &str)
    where
        S: Service<reqwest::Request, Response = reqwest::Response> + Clone + Send + 'static,
        S::Error: Into<BoxError> + std::fmt::Debug + Send,
        S::Future: Send,
    {
        let [tokens, accepted, rejected] = self.counts().await;
        for round in 1..=3 {
            let callers: Vec<_> = (0..50)
                .map(|_| tokio::spawn(api.clone().oneshot(self.request(path))))
                .collect();
            for caller in callers {
                let answer = caller.await.expect("no panic").expect("an answer");
                assert_eq!(answer.status(), 200);
            }
            let now = self.counts().await;
            assert_eq!(now[0], tokens + round, "one token request for all of them");
            assert_eq!(now[1], accepted + round * 50);
            assert_eq!(now[2] > rejected, round > 1, "nobody met a dead token");
            self.kill_tokens().await;
        }
    }
}

#[tokio::test]
async fn hapi_auth_jwt2_is_recovered_from_by_default() {
    let server = Server::new("TOWER_BEARER_HAPI");
    let tokens = server.layer();
    server
        .recovers(tokens.layer(server.client.clone()), "/calls")
        .await;
    let expired = std::env::var("TOWER_BEARER_HAPI_EXPIRED").expect("an expired token");
    let challenge = Some("Token error=\"Expired token\"".to_owned());
    assert_eq!(server.raw("/calls", &expired).await, (401, challenge));
}

#[tokio::test]
async fn django_rest_framework_is_recovered_from_by_default() {
    let server = Server::new("TOWER_BEARER_DJANGO_REST");
    server
        .recovers(server.layer().layer(server.client.clone()), "/calls")
        .await;
    let (status, challenge) = server.raw("/calls", "garbage").await;
    let challenge = challenge.expect("a challenge");
    assert_eq!(status, 401);
    assert!(
        challenge.starts_with("Bearer realm=\"api\",error=\"invalid_token\""),
        "{challenge}"
    );
}

#[tokio::test]
async fn the_views_of_django_oauth_toolkit_answer_403_which_has_to_be_asked_for() {
    let server = Server::new("TOWER_BEARER_DJANGO_VIEWS");
    let asked = server.layer().reject_on(Rejection::statuses([403]));
    server
        .recovers(asked.layer(server.client.clone()), "/view")
        .await;
    assert_eq!(server.raw("/view", "garbage").await, (403, None));
    // By default the caller gets the 403, and nothing is fetched for it.
    let api = server.layer().layer(server.client.clone());
    let answer = api
        .clone()
        .oneshot(server.request("/view"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    server.kill_tokens().await;
    let [before, ..] = server.counts().await;
    let answer = api
        .oneshot(server.request("/view"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.extensions().get::<Outcome>(), None);
    assert_eq!(server.counts().await[0], before);
}
