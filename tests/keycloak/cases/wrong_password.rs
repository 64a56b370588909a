//! A wrong password under load.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::admin::Requests;
use crate::api::Check;
use crate::load::Load;
use crate::stack::Kind;
use crate::world::World;

const CALLERS: usize = 1000;
const TIME: Duration = Duration::from_secs(60);

pub(crate) async fn a_wrong_password_is_tried_once(world: Arc<World>) -> String {
    let (realm, kind) = (world.realm(), Kind::Hyper);
    let before = realm.start_afresh("wrong").await;
    let api = world.api(Check::Introspection).await;
    let grant = world.grant_with("api", "wrong", "markpass-but-another");
    let tokens = kind.tokens(grant).build().expect("settings");
    let stack = kind.stack(&tokens, &api.url);
    let load = Load::start(&stack, CALLERS, Duration::from_millis(200));
    sleep(TIME).await;
    let tally = load.stop().await;
    let calls = tally.failed();
    assert_eq!(tally.ok, 0);
    assert_eq!(tally.errors.get("Refused"), Some(&calls), "{tally:?}");
    let error = tally.last_error.expect("an error");
    assert_eq!(error.oauth_error(), Some("invalid_grant"));
    let one = Requests {
        refused_logins: 1,
        ..Requests::default()
    };
    assert_eq!(realm.requests().await.since(before), one);
    assert_eq!(realm.failures("wrong").await, (1, false));
    assert_eq!(api.counts(), (0, 0));
    format!("{CALLERS} callers, {calls} calls in {TIME:?}: 1 failed login, not locked; {error}")
}
