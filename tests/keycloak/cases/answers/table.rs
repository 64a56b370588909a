//! Sends requests, and records the responses.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::world::{PASSWORD, RESOURCE_SERVER, World, oidc};

pub(super) const USER: &str = "facts";
type Form<'a> = &'a [(&'a str, &'a str)];

pub(super) struct Table {
    pub(super) world: Arc<World>,
    pub(super) client: reqwest::Client,
    pub(super) rows: String,
    pub(super) wrong: Vec<String>,
}

/// An answer: its status, members and challenge.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) challenge: Option<String>,
}

impl Answer {
    pub(super) fn param(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }
}

impl Table {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            client: reqwest::Client::new(),
            rows: String::new(),
            wrong: Vec::new(),
        }
    }

    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.expect("an answer");
        let challenge = answer.headers().get("www-authenticate");
        let challenge = challenge.map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        let status = answer.status().as_u16();
        let body = answer.bytes().await.expect("a body");
        Answer {
            status,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            challenge,
        }
    }

    pub(super) async fn post(&self, realm: &str, endpoint: &str, form: Form<'_>) -> Answer {
        self.send(self.request(realm, endpoint, form)).await
    }

    pub(super) fn request(
        &self,
        realm: &str,
        endpoint: &str,
        form: Form<'_>,
    ) -> reqwest::RequestBuilder {
        let url = oidc(&self.world.keycloak.url(), realm, endpoint);
        let form = Serializer::new(String::new()).extend_pairs(form).finish();
        self.client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
    }

    /// Whether an access token opens anything.
    pub(super) async fn is_active(&self, realm: &str, token: &str) -> bool {
        let (id, secret) = RESOURCE_SERVER;
        let request = self.request(realm, "token/introspect", &[("token", token)]);
        let answer = self.send(request.basic_auth(id, Some(secret))).await;
        answer.body["active"].as_bool().expect("a boolean")
    }

    pub(super) async fn login(&self, realm: &str, client: &str) -> Answer {
        self.post(realm, "token", &password(client, USER, PASSWORD))
            .await
    }

    pub(super) async fn refresh(&self, realm: &str, client: &str, token: &str) -> Answer {
        let form = [
            ("client_id", client),
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
        ];
        self.post(realm, "token", &form).await
    }

    /// Writes a row, and notes if it is not as expected.
    pub(super) fn row(&mut self, case: &str, answer: &Answer, expected: &str) {
        let mut found = answer.status.to_string();
        for (between, member) in [(" ", "error"), (": ", "error_description")] {
            let text = answer.param(member);
            if !text.is_empty() {
                found += between;
                found += text;
            }
        }
        let challenge = answer.challenge.as_deref().unwrap_or("no challenge");
        writeln!(self.rows, "| {case} | {found} | {challenge} |").expect("written");
        if found != expected {
            self.wrong.push(format!("{case}: {found}, not {expected}"));
        }
    }
}

pub(super) fn password<'a>(
    client: &'a str,
    user: &'a str,
    password: &'a str,
) -> [(&'a str, &'a str); 4] {
    [
        ("client_id", client),
        ("grant_type", "password"),
        ("username", user),
        ("password", password),
    ]
}
