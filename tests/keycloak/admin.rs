//! What an administrator sees and does, by Keycloak's admin API.

use http::Method;
use serde_json::{Value, json};

use tower_bearer::{PasswordGrant, TokenCache};

use crate::server::{ADMIN, Keycloak};

/// The admin API of one server.
pub(crate) struct Admin {
    url: String,
    client: reqwest::Client,
    tokens: TokenCache,
}

impl Admin {
    pub(crate) fn new(keycloak: &Keycloak) -> Self {
        let url = keycloak.url();
        let endpoint = format!("{url}/realms/master/protocol/openid-connect/token");
        let grant = PasswordGrant::new(endpoint, "admin-cli", ADMIN.0, ADMIN.1).expect("https");
        Self {
            url,
            client: reqwest::Client::new(),
            tokens: TokenCache::new(grant),
        }
    }

    /// A call of the admin API below `/admin/realms`, which has to succeed.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}/admin/realms{path}", self.url);
        self.tokens.reset();
        let token = self.tokens.token().await.expect("the administrator's");
        let mut request = self.client.request(method.clone(), url);
        if let Some(body) = body {
            let json = "application/json";
            request = request.header("content-type", json).body(body.to_string());
        }
        let answer = request.bearer_auth(token.secret()).send().await;
        let answer = answer.expect("the admin API answers");
        let status = answer.status();
        let text = answer.text().await.expect("the admin API's answer");
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) async fn import(&self, realm: &str) {
        let realm = serde_json::from_str(realm).expect("JSON");
        self.call(Method::POST, "", Some(&realm)).await;
    }

    pub(crate) fn realm<'a>(&'a self, realm: &'a str) -> Realm<'a> {
        Realm { admin: self, realm }
    }
}

/// One realm.
#[derive(Clone, Copy)]
pub(crate) struct Realm<'a> {
    admin: &'a Admin,
    realm: &'a str,
}

impl Realm<'_> {
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let path = format!("/{}{path}", self.realm);
        self.admin.call(method, &path, body.as_ref()).await
    }

    /// Changes members of the realm's representation.
    pub(crate) async fn edit(&self, members: Value) {
        self.call(Method::PUT, "", Some(members)).await;
    }

    /// Tokens that were issued before this second are stale.
    pub(crate) async fn push_not_before(&self, epoch_seconds: u64) {
        self.edit(json!({ "notBefore": epoch_seconds })).await;
        self.call(Method::POST, "/push-revocation", None).await;
    }

    async fn id(&self, user: &str) -> String {
        let path = format!("/users?exact=true&username={user}");
        let users = self.call(Method::GET, &path, None).await;
        users[0]["id"].as_str().expect("a user's id").to_owned()
    }

    /// Changes members of a user's representation.
    pub(crate) async fn edit_user(&self, user: &str, members: Value) {
        let path = format!("/users/{}", self.id(user).await);
        let mut now = self.call(Method::GET, &path, None).await;
        let (Value::Object(now), Value::Object(members)) = (&mut now, members) else {
            panic!("a representation is an object");
        };
        now.extend(members);
        self.call(Method::PUT, &path, Some(Value::Object(now.clone())))
            .await;
    }

    /// How many sessions a user has.
    pub(crate) async fn sessions(&self, user: &str) -> usize {
        let path = format!("/users/{}/sessions", self.id(user).await);
        let sessions = self.call(Method::GET, &path, None).await;
        sessions.as_array().expect("a list").len()
    }

    /// Ends all sessions of a user.
    pub(crate) async fn log_out(&self, user: &str) {
        let path = format!("/users/{}/logout", self.id(user).await);
        self.call(Method::POST, &path, None).await;
    }

    /// Failed logins of a user, and whether the user is locked, as the
    /// detection of brute force has it.
    pub(crate) async fn failures(&self, user: &str) -> (u64, bool) {
        let id = self.id(user).await;
        let path = format!("/attack-detection/brute-force/users/{id}");
        let status = self.call(Method::GET, &path, None).await;
        let failures = status["numFailures"].as_u64().expect("a number");
        (failures, status["disabled"].as_bool().expect("a boolean"))
    }

    /// How many events of these types a user or, without one, the realm has
    /// had since they were last forgotten.
    pub(crate) async fn events<const N: usize>(
        &self,
        user: Option<&str>,
        types: [&str; N],
    ) -> [usize; N] {
        let of = match user {
            Some(user) => format!("&user={}", self.id(user).await),
            None => String::new(),
        };
        let mut counts = [0; N];
        for (count, sort) in counts.iter_mut().zip(types) {
            let path = format!("/events?max=100000&type={sort}{of}");
            let events = self.call(Method::GET, &path, None).await;
            *count = events.as_array().expect("a list").len();
        }
        counts
    }

    /// The errors that the realm's events of a type name, the newest first.
    pub(crate) async fn errors(&self, client: &str, sort: &str) -> Vec<String> {
        let path = format!("/events?max=1000&type={sort}&client={client}");
        let events = self.call(Method::GET, &path, None).await;
        let events = events.as_array().expect("a list");
        let error = |event: &Value| event["error"].as_str().unwrap_or("none").to_owned();
        events.iter().map(error).collect()
    }

    /// Forgets events, failed logins and the user's sessions.
    pub(crate) async fn start_afresh(&self, user: &str) {
        self.log_out(user).await;
        let id = self.id(user).await;
        let failures = format!("/attack-detection/brute-force/users/{id}");
        self.call(Method::DELETE, &failures, None).await;
    }
}
