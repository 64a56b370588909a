//! What the server says of users and their passwords.

use std::fmt::Write;

use serde_json::json;

use super::table::{Table, USER, password};
use crate::world::{CASES, PASSWORD};

impl Table {
    pub(super) async fn users(&mut self, older: bool) {
        let refused = if older { 401 } else { 400 };
        let wrong_password = format!("{refused} invalid_grant: Invalid user credentials");
        let world = self.world.clone();
        let realm = world.realm();
        let form = &[("client_id", "api"), ("grant_type", "password")];
        let answer = self.post(CASES, "token", form).await;
        self.row(
            "no user name",
            &answer,
            "401 invalid_request: Missing parameter: username",
        );
        let answer = self
            .post(CASES, "token", &password("api", USER, PASSWORD)[..3])
            .await;
        self.row("no password", &answer, &wrong_password);
        realm.start_afresh(USER).await;
        let answer = self
            .post(CASES, "token", &password("api", "nobody", PASSWORD))
            .await;
        self.row("unknown user", &answer, &wrong_password);
        let wrong = password("api", USER, "wrong");
        let answer = self.post(CASES, "token", &wrong).await;
        self.row("wrong password", &answer, &wrong_password);
        let counted = realm.failures(USER).await;
        let answer = self.post(CASES, "token", &wrong).await;
        self.row("wrong at once again", &answer, &wrong_password);
        let locked = realm.failures(USER).await;
        let answer = self.login(CASES, "api").await;
        self.row("locked, right password", &answer, &wrong_password);
        writeln!(
            self.rows,
            "(failures, locked) after one {counted:?}, after two {locked:?}"
        )
        .expect("written");
        realm.start_afresh(USER).await;
        let answer = self
            .post(CASES, "token", &password("api", "pending", PASSWORD))
            .await;
        self.row(
            "action required",
            &answer,
            "400 invalid_grant: Account is not fully set up",
        );
        let answer = self
            .post(CASES, "token", &password("api", "pending", "wrong"))
            .await;
        self.row("action required, wrong password", &answer, &wrong_password);
        realm.start_afresh("pending").await;
        let session = self.login(CASES, "api").await;
        realm.edit_user(USER, json!({ "enabled": false })).await;
        let answer = self.login(CASES, "api").await;
        self.row("disabled", &answer, "400 invalid_grant: Account disabled");
        let answer = self.post(CASES, "token", &wrong).await;
        let says = if older {
            "Account disabled"
        } else {
            "Invalid user credentials"
        };
        self.row(
            "disabled, wrong password",
            &answer,
            &format!("400 invalid_grant: {says}"),
        );
        let answer = self
            .refresh(CASES, "api", session.member("refresh_token"))
            .await;
        self.row(
            "disabled, refresh",
            &answer,
            "400 invalid_grant: User disabled",
        );
        realm.edit_user(USER, json!({ "enabled": true })).await;
        realm.start_afresh(USER).await;
    }
}
