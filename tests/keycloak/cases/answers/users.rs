//! The server's responses about users and their passwords.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;
use tokio::task::JoinSet;

use super::table::{Table, USER, password};
use crate::world::{CASES, PASSWORD};

const AT_ONCE: usize = 8;

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
        self.logins_at_once().await;
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
            .refresh(CASES, "api", session.param("refresh_token"))
            .await;
        self.row(
            "disabled, refresh",
            &answer,
            "400 invalid_grant: User disabled",
        );
        realm.edit_user(USER, json!({ "enabled": true })).await;
        realm.start_afresh(USER).await;
    }

    /// With the detection of brute force on, Keycloak refuses a login while
    /// another one of the same user is going on, right password or not.
    async fn logins_at_once(&mut self) {
        let mut logins = JoinSet::new();
        let form = password("api", USER, PASSWORD);
        for _ in 0..AT_ONCE {
            logins.spawn(self.request(CASES, "token", &form).send());
        }
        let mut statuses = BTreeMap::<_, usize>::new();
        while let Some(answer) = logins.join_next().await {
            let answer = answer.expect("no panic").expect("an answer");
            *statuses.entry(answer.status().as_u16()).or_default() += 1;
        }
        let failures = self.world.realm().failures(USER).await;
        writeln!(
            self.rows,
            "{AT_ONCE} right logins of one user at once: {statuses:?}, (failures, locked) {failures:?}"
        )
        .expect("written");
        assert!(statuses.contains_key(&200), "{statuses:?}");
        self.world.realm().start_afresh(USER).await;
    }
}
