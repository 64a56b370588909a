//! Credentials that are refused.

use std::sync::Arc;

use tower_bearer::TokenErrorKind;
use tower_bearer::grant::ClientAuth;

use crate::about::Account;
use crate::cases::cold::call_at_once;
use crate::stack::Bodies;
use crate::world::{Login, World};

const CALLERS: u64 = 100;

pub(crate) async fn a_wrong_secret_is_tried_once(world: Arc<World>) -> String {
    let auth = ClientAuth::client_secret_basic("marksecret-but-another");
    let wrong = |login| Login {
        auth: auth.clone(),
        ..login
    };
    let error = world.about.wrong_secret.as_deref();
    let mut found = tried_once(&world, wrong(world.login()), error).await;
    if let Some(machine) = world.machine() {
        let machine = tried_once(&world, wrong(machine), error).await;
        found += &format!("; the client itself: {machine}");
    }
    found
}

pub(crate) async fn a_wrong_password_is_tried_once(world: Arc<World>) -> String {
    if world.about.account != Account::Password {
        return "no password is sent to this server".into();
    }
    let login = Login {
        password: "markpass-but-another".into(),
        ..world.login()
    };
    tried_once(&world, login, world.about.wrong_password.as_deref()).await
}

/// By callers that all come at once, and once more.
async fn tried_once(world: &World, login: Login, error: Option<&str>) -> String {
    let watch = world.watch().await;
    let tokens = world.tokens(&watch, login).await.build().expect("settings");
    let stack = world.stack(&watch, &tokens, Bodies::Copied);
    let mut told = String::new();
    for _ in 0..2 {
        let tally = call_at_once(&stack, CALLERS).await;
        if error.is_none() {
            tally.assert_all_ok();
            continue;
        }
        assert_eq!(tally.errors.get("Refused"), Some(&CALLERS), "{tally:?}");
        let refusal = tally.last_error.expect("an error");
        assert_eq!(refusal.oauth_error(), error, "{refusal:?}");
        assert_eq!(refusal.kind(), TokenErrorKind::Refused);
        told = refusal.to_string();
    }
    let (requests, calls) = (watch.tokens(), watch.of(&world.about.api.path));
    assert_eq!(requests.all(), 1, "{requests}");
    match error {
        None => format!("any is taken: {requests}, {calls}"),
        Some(_) => {
            assert_eq!(calls.ok + calls.other, 0, "{calls}");
            format!("2 times {CALLERS} callers: {requests}; {told}")
        }
    }
}
