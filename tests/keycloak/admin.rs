//! What an administrator sees and does, through Keycloak's admin API.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Mutex;

use http::Method;
use serde_json::{Value, json};

use tower_bearer::{PasswordGrant, TokenCache};

use crate::server::{ADMIN, Keycloak};

/// The admin API of one server.
pub(crate) struct Admin {
    url: String,
    client: reqwest::Client,
    tokens: TokenCache,
    /// The ids of users, by realm and name.
    ids: Mutex<HashMap<(String, String), String>>,
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
            ids: Mutex::default(),
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
        let key = (self.realm.to_owned(), user.to_owned());
        if let Some(id) = self.admin.ids.lock().expect("no panic").get(&key) {
            return id.clone();
        }
        let path = format!("/users?exact=true&username={user}");
        let users = self.call(Method::GET, &path, None).await;
        let id = users[0]["id"].as_str().expect("a user's id").to_owned();
        self.admin
            .ids
            .lock()
            .expect("no panic")
            .insert(key, id.clone());
        id
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

    /// Ends each session of a user. Gives how many that were.
    pub(crate) async fn end_sessions(&self, user: &str) -> usize {
        let path = format!("/users/{}/sessions", self.id(user).await);
        let sessions = self.call(Method::GET, &path, None).await;
        let sessions = sessions.as_array().expect("a list");
        for session in sessions {
            let id = session["id"].as_str().expect("a session's id");
            let path = format!("/sessions/{id}");
            self.call(Method::DELETE, &path, None).await;
        }
        sessions.len()
    }

    /// Logs a user out everywhere: that ends the sessions, and makes all tokens
    /// of the seconds before stale.
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

    /// The token requests of the realm so far. Those refused for their refresh
    /// token name no user, so cases run one after the other.
    pub(crate) async fn requests(&self) -> Requests {
        Requests {
            logins: self.events("LOGIN").await,
            refused_logins: self.events("LOGIN_ERROR").await,
            refreshes: self.events("REFRESH_TOKEN").await,
            refused_refreshes: self.events("REFRESH_TOKEN_ERROR").await,
        }
    }

    async fn events(&self, sort: &str) -> usize {
        let path = format!("/events?max=100000&type={sort}");
        let events = self.call(Method::GET, &path, None).await;
        events.as_array().expect("a list").len()
    }

    /// The events of a client's token requests so far, with how many there are
    /// of each type: `2 CLIENT_LOGIN, 1 CLIENT_LOGIN_ERROR`.
    pub(crate) async fn tally(&self, client: &str) -> String {
        let path = format!("/events?max=1000&client={client}");
        let events = self.call(Method::GET, &path, None).await;
        let mut tally = BTreeMap::<&str, usize>::new();
        for event in events.as_array().expect("a list") {
            let sort = event["type"].as_str().expect("a type");
            *tally.entry(sort).or_default() += 1;
        }
        let each: Vec<_> = tally
            .iter()
            .map(|(sort, n)| format!("{n} {sort}"))
            .collect();
        each.join(", ")
    }

    /// Has events of these types counted as well.
    pub(crate) async fn count_events(&self, sorts: [&str; 2]) {
        let mut now = self.call(Method::GET, "/events/config", None).await;
        let all = now["enabledEventTypes"].as_array_mut().expect("a list");
        all.extend(sorts.map(Value::from));
        self.call(Method::PUT, "/events/config", Some(now)).await;
    }

    /// Adds a client.
    pub(crate) async fn add_client(&self, client: Value) {
        self.call(Method::POST, "/clients", Some(client)).await;
    }

    /// The errors that the realm's events of a type name, the newest first.
    pub(crate) async fn errors(&self, client: &str, sort: &str) -> Vec<String> {
        let path = format!("/events?max=1000&type={sort}&client={client}");
        let events = self.call(Method::GET, &path, None).await;
        let events = events.as_array().expect("a list");
        let error = |event: &Value| event["error"].as_str().unwrap_or("none").to_owned();
        events.iter().map(error).collect()
    }

    /// Ends the user's sessions, forgets failed logins, and counts the realm's
    /// token requests so far.
    pub(crate) async fn start_afresh(&self, user: &str) -> Requests {
        self.end_sessions(user).await;
        let id = self.id(user).await;
        let failures = format!("/attack-detection/brute-force/users/{id}");
        self.call(Method::DELETE, &failures, None).await;
        self.requests().await
    }
}

/// Token requests, by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) logins: usize,
    pub(crate) refused_logins: usize,
    pub(crate) refreshes: usize,
    pub(crate) refused_refreshes: usize,
}

impl Requests {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            logins: self.logins - before.logins,
            refused_logins: self.refused_logins - before.refused_logins,
            refreshes: self.refreshes - before.refreshes,
            refused_refreshes: self.refused_refreshes - before.refused_refreshes,
        }
    }

    /// Those that brought a token.
    pub(crate) fn tokens(self) -> usize {
        self.logins + self.refreshes
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} logins and {} refused, {} refreshes and {} refused",
            self.logins, self.refused_logins, self.refreshes, self.refused_refreshes
        )
    }
}
