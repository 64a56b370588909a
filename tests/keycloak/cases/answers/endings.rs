//! The ends of sessions, and successful responses.

use std::fmt::Write;

use serde_json::json;

use super::table::{Table, USER};
use crate::world::{CASES, oidc};

impl Table {
    pub(super) async fn endings(&mut self) {
        let garbage = [("client_id", "api"), ("refresh_token", "garbage")];
        let answer = self.post(CASES, "logout", &garbage).await;
        self.row(
            "logout, garbage",
            &answer,
            "400 invalid_grant: Invalid refresh token",
        );
        let answer = self.post(CASES, "logout", &garbage[..1]).await;
        // A page for a browser.
        self.row("logout, no token", &answer, "200");
        let session = self.login(CASES, "api").await;
        let token = session.param("refresh_token");
        let form = [("client_id", "api"), ("refresh_token", token)];
        let answer = self.post(CASES, "logout", &form).await;
        self.row("logout", &answer, "204");
        let answer = self.post(CASES, "logout", &form).await;
        self.row("logout again", &answer, "204");
        let answer = self.refresh(CASES, "api", token).await;
        self.row(
            "refresh after logout",
            &answer,
            "400 invalid_grant: Session not active",
        );
        let answer = self.post(CASES, "revoke", &[("client_id", "api")]).await;
        self.row(
            "revoke, no token",
            &answer,
            "400 invalid_request: Token not provided",
        );
        for (endpoint, expected) in [
            ("logout", "200"),
            (
                "revoke",
                "401 invalid_client: Invalid client or Invalid client credentials",
            ),
        ] {
            let url = oidc(&self.world.keycloak.url(), CASES, endpoint);
            let request = self.client.post(url).body("{}");
            let request = request.header("content-type", "application/json");
            let answer = self.send(request).await;
            self.row(&format!("{endpoint}, JSON"), &answer, expected);
        }
        let form = [("client_id", "api"), ("token", "garbage")];
        let answer = self.post(CASES, "revoke", &form).await;
        self.row(
            "revoke, garbage",
            &answer,
            "200 invalid_token: Invalid token",
        );
        let session = self.login(CASES, "api").await;
        let form = [
            ("client_id", "api"),
            ("token", session.param("access_token")),
        ];
        let answer = self.post(CASES, "revoke", &form).await;
        self.row("revoke, access token", &answer, "200");
        let answer = self
            .refresh(CASES, "api", session.param("refresh_token"))
            .await;
        self.row("refresh after that", &answer, "200");
        let form = [
            ("client_id", "api"),
            ("token", session.param("refresh_token")),
        ];
        let answer = self.post(CASES, "revoke", &form).await;
        self.row("revoke, refresh token", &answer, "200");
        let answer = self
            .refresh(CASES, "api", session.param("refresh_token"))
            .await;
        self.row(
            "refresh after that",
            &answer,
            "400 invalid_grant: Session not active",
        );
    }

    /// The members of successful responses, and what a protected endpoint says.
    pub(super) async fn successes(&mut self) {
        let session = self.login(CASES, "api").await;
        let plain = self.login(CASES, "api-no-refresh").await;
        let refresh = self
            .refresh(CASES, "api", session.param("refresh_token"))
            .await;
        for (name, answer) in [
            ("login", &session),
            ("login without refresh tokens", &plain),
            ("refresh", &refresh),
        ] {
            let mut members = answer.body.clone();
            for (member, value) in members.as_object_mut().expect("an object") {
                if member.ends_with("token") || member == "session_state" {
                    *value = json!("*");
                }
            }
            writeln!(self.rows, "{name}: {members}").expect("written");
        }
        assert_eq!(plain.body.get("refresh_token"), None);
        let url = oidc(&self.world.keycloak.url(), CASES, "userinfo");
        let answer = self.send(self.client.get(&url)).await;
        writeln!(
            self.rows,
            "userinfo, no token: {} {:?} {}",
            answer.status, answer.challenge, answer.body
        )
        .expect("written");
        let answer = self
            .send(self.client.get(&url).bearer_auth("garbage"))
            .await;
        writeln!(
            self.rows,
            "userinfo, garbage: {} {:?} {}",
            answer.status, answer.challenge, answer.body
        )
        .expect("written");
        self.world.realm().start_afresh(USER).await;
    }
}
