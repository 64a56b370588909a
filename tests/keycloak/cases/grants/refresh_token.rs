//! A refresh token from an earlier login that can be used once.

use std::sync::{Arc, Mutex};

use tower_bearer::grant::RefreshTokenGrant;
use tower_bearer::{PasswordGrant, RefreshToken, TokenCache, TokenSource};

use super::{CALLS, refused, renewed_once};
use crate::admin::Requests;
use crate::api::{Api, Check};
use crate::stack::Kind;
use crate::world::{PASSWORD, ROTATION, World};

const USER: &str = "brought";
const PROGRAMS: usize = 5;

/// What a program keeps from one run to the next.
type Kept = Arc<Mutex<RefreshToken>>;

pub(crate) async fn a_token_that_the_user_brings_is_stored_as_it_rotates(
    world: Arc<World>,
) -> String {
    let api = Api::start(&world.keycloak.url(), ROTATION, Check::Introspection).await;
    let realm = world.admin.realm(ROTATION);
    let before = realm.start_afresh(USER).await;
    let endpoint = world.token_url(ROTATION);
    let login = PasswordGrant::new(&*endpoint, "api", USER, PASSWORD).expect("https");
    let login = login.fetch().await.expect("a login");
    let brought = login.refresh_token().expect("a refresh token").clone();
    let kept = Kept::new(Mutex::new(brought.clone()));
    // Each program starts with what the previous one stored.
    for _ in 0..PROGRAMS {
        renewed_once(&cache(&endpoint, &kept), &api).await;
    }
    let mut expected = Requests {
        logins: 1,
        refreshes: 2 * PROGRAMS,
        ..Requests::default()
    };
    assert_eq!(realm.requests().await.since(before), expected);
    assert_eq!(realm.sessions(USER).await, 1);
    // One that was not stored is used up, and nothing is there to fall back on.
    let error = refused(&cache(&endpoint, &Kept::new(Mutex::new(brought))), &api).await;
    expected.refused_refreshes = 1;
    let requests = realm.requests().await.since(before);
    assert_eq!(requests, expected);
    format!(
        "{PROGRAMS} programs, 2 tokens each; {CALLS} calls with the first one again: {error}; \
         {requests}"
    )
}

fn cache(endpoint: &str, kept: &Kept) -> TokenCache {
    let token = kept.lock().expect("no panic").clone();
    let kept = kept.clone();
    let grant = RefreshTokenGrant::new(endpoint, "api", token).expect("https");
    let grant = grant.on_rotation(move |token| {
        *kept.lock().expect("no panic") = token;
        async { Ok::<_, std::io::Error>(()) }
    });
    Kind::Hyper.tokens(grant).build().expect("settings")
}
