//! The server's responses about refresh tokens.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::time::sleep;

use super::table::{Table, USER};
use crate::world::{CASES, ROTATION};

impl Table {
    pub(super) async fn refreshes(&mut self) {
        let world = self.world.clone();
        let realm = world.realm();
        let form = [("client_id", "api"), ("grant_type", "refresh_token")];
        let answer = self.post(CASES, "token", &form).await;
        self.row(
            "no refresh token",
            &answer,
            "400 invalid_request: No refresh token",
        );
        let answer = self.refresh(CASES, "api", "garbage").await;
        self.row(
            "garbage as refresh token",
            &answer,
            "400 invalid_grant: Invalid refresh token",
        );
        let session = self.login(CASES, "api").await;
        let answer = self
            .refresh(CASES, "api", session.param("access_token"))
            .await;
        self.row(
            "access token as refresh token",
            &answer,
            "400 invalid_grant: Invalid refresh token",
        );
        let token = session.param("refresh_token");
        let answer = self.refresh(CASES, "api-seconds", token).await;
        self.row("another client's", &answer, "400 invalid_grant: Invalid refresh token. Token client and authorized client don't match");
        realm.end_sessions(USER).await;
        let answer = self.refresh(CASES, "api", token).await;
        self.row(
            "session ended",
            &answer,
            "400 invalid_grant: Session not active",
        );
        let brief = self.login(CASES, "api-brief").await;
        let session = self.login(CASES, "api").await;
        sleep(Duration::from_millis(3100)).await;
        let answer = self
            .refresh(CASES, "api-brief", brief.param("refresh_token"))
            .await;
        self.row(
            "refresh token expired",
            &answer,
            "400 invalid_grant: Token is not active",
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        realm.push_not_before(now.expect("a date").as_secs()).await;
        let answer = self
            .refresh(CASES, "api", session.param("refresh_token"))
            .await;
        self.row(
            "older than not-before",
            &answer,
            "400 invalid_grant: Stale token",
        );
        let after = self.login(CASES, "api").await;
        let policy = after.body["not-before-policy"].as_u64();
        writeln!(
            self.rows,
            "not-before-policy in the next answer: {policy:?}"
        )
        .expect("written");
        assert!(policy.is_some_and(|policy| policy > 0));
        realm.edit(json!({ "notBefore": 0 })).await;
        let session = self.login(CASES, "api").await;
        sleep(Duration::from_millis(2100)).await;
        realm.log_out(USER).await;
        let answer = self
            .refresh(CASES, "api", session.param("refresh_token"))
            .await;
        self.row(
            "user logged out by the administrator",
            &answer,
            "400 invalid_grant: Session not active",
        );
    }

    /// Which sessions a refresh token that comes again ends.
    pub(super) async fn rotation(&mut self) {
        let world = self.world.clone();
        let realm = world.admin.realm(ROTATION);
        let first = self.login(ROTATION, "api").await;
        let second = self
            .refresh(ROTATION, "api", first.param("refresh_token"))
            .await;
        assert_eq!(second.status, 200);
        let answer = self
            .refresh(ROTATION, "api", first.param("refresh_token"))
            .await;
        self.row(
            "the last refresh token again",
            &answer,
            "400 invalid_grant: Maximum allowed refresh token reuse exceeded",
        );
        let answer = self
            .refresh(ROTATION, "api", second.param("refresh_token"))
            .await;
        self.row(
            "the newest after that",
            &answer,
            "400 invalid_grant: Session doesn't have required client",
        );
        let sessions = realm.sessions(USER).await;
        let active = self.is_active(ROTATION, second.param("access_token")).await;
        writeln!(
            self.rows,
            "sessions left: {sessions}, newest access token live: {active}"
        )
        .expect("written");
        assert_eq!((sessions, active), (1, false));
        realm.end_sessions(USER).await;

        // Tokens of the same second cannot be told apart by their age.
        let first = self.login(ROTATION, "api").await;
        sleep(Duration::from_millis(1100)).await;
        let second = self
            .refresh(ROTATION, "api", first.param("refresh_token"))
            .await;
        sleep(Duration::from_millis(1100)).await;
        let third = self
            .refresh(ROTATION, "api", second.param("refresh_token"))
            .await;
        assert_eq!((second.status, third.status), (200, 200));
        let answer = self
            .refresh(ROTATION, "api", first.param("refresh_token"))
            .await;
        self.row(
            "an older refresh token again",
            &answer,
            "400 invalid_grant: Stale token",
        );
        let answer = self
            .refresh(ROTATION, "api", third.param("refresh_token"))
            .await;
        self.row(
            "the newest after that",
            &answer,
            "400 invalid_grant: Session doesn't have required client",
        );
        let sessions = realm.sessions(USER).await;
        let active = self.is_active(ROTATION, third.param("access_token")).await;
        writeln!(
            self.rows,
            "sessions left: {sessions}, newest access token live: {active}"
        )
        .expect("written");
        assert_eq!((sessions, active), (1, false));
        realm.end_sessions(USER).await;
    }
}
