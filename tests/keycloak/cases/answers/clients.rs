//! The server's responses about a request's form and about clients.

use super::table::{Table, USER, password};
use crate::world::{CASES, PASSWORD, SECRET, oidc};

impl Table {
    pub(super) async fn requests_without_a_client(&mut self) {
        let url = oidc(&self.world.keycloak.url(), CASES, "token");
        let answer = self.send(self.client.get(&url)).await;
        self.row("GET", &answer, "405 HTTP 405 Method Not Allowed");
        let json = self
            .client
            .post(&url)
            .header("content-type", "application/json");
        let answer = self.send(json.body("{}")).await;
        self.row(
            "JSON",
            &answer,
            "400 invalid_request: Missing form parameter: grant_type",
        );
        let answer = self.post(CASES, "token", &[("client_id", "api")]).await;
        self.row(
            "no grant_type",
            &answer,
            "400 invalid_request: Missing form parameter: grant_type",
        );
        let form = [("client_id", "api"), ("grant_type", "urn:x")];
        let answer = self.post(CASES, "token", &form).await;
        self.row(
            "unknown grant_type",
            &answer,
            "400 unsupported_grant_type: Unsupported grant_type",
        );
        let mut form = password("api", USER, PASSWORD).to_vec();
        form.push(("scope", "profile"));
        form.push(("scope", "email"));
        let answer = self.post(CASES, "token", &form).await;
        self.row(
            "a member twice",
            &answer,
            "400 invalid_request: duplicated parameter",
        );
    }

    pub(super) async fn clients(&mut self) {
        let form = &password("api", USER, PASSWORD)[1..];
        let answer = self.post(CASES, "token", form).await;
        self.row(
            "no client",
            &answer,
            "401 invalid_client: Invalid client or Invalid client credentials",
        );
        let answer = self.login(CASES, "api-unknown").await;
        self.row(
            "unknown client",
            &answer,
            "401 invalid_client: Invalid client or Invalid client credentials",
        );
        let answer = self.login(CASES, "api-secret").await;
        self.row(
            "no secret",
            &answer,
            "401 unauthorized_client: Invalid client or Invalid client credentials",
        );
        let mut form = password("api-secret", USER, PASSWORD).to_vec();
        let basic = self.request(CASES, "token", &form[1..]);
        let answer = self
            .send(basic.basic_auth("api-secret", Some("wrong")))
            .await;
        self.row(
            "bad secret, Basic",
            &answer,
            "401 unauthorized_client: Invalid client or Invalid client credentials",
        );
        form.push(("client_secret", "wrong"));
        let answer = self.post(CASES, "token", &form).await;
        self.row(
            "bad secret, form",
            &answer,
            "401 unauthorized_client: Invalid client or Invalid client credentials",
        );
        let mut form = password("api", USER, PASSWORD).to_vec();
        form.push(("client_secret", "wrong"));
        let answer = self.post(CASES, "token", &form).await;
        self.row("a public client's secret", &answer, "200");
        let answer = self.login(CASES, "api-no-direct-grant").await;
        self.row(
            "direct grant off",
            &answer,
            "400 unauthorized_client: Client not allowed for direct access grants",
        );
        let form = [("client_id", "api"), ("grant_type", "client_credentials")];
        let answer = self.post(CASES, "token", &form).await;
        self.row(
            "client_credentials, public",
            &answer,
            "401 unauthorized_client: Public client not allowed to retrieve service account",
        );
        let form = [
            ("client_id", "api-secret"),
            ("client_secret", SECRET),
            ("grant_type", "client_credentials"),
        ];
        let answer = self.post(CASES, "token", &form).await;
        self.row(
            "client_credentials, none allowed",
            &answer,
            "401 unauthorized_client: Client not enabled to retrieve service account",
        );
        let mut form = password("api", USER, PASSWORD).to_vec();
        form.push(("scope", "no-such-scope"));
        let answer = self.post(CASES, "token", &form).await;
        self.row(
            "unknown scope",
            &answer,
            "400 invalid_scope: Invalid scopes: no-such-scope",
        );
    }
}
