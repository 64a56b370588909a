//! One server, its realms, and helpers for the cases.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use tower_bearer::PasswordGrant;

use crate::admin::{Admin, Realm};
use crate::api::{Api, Check};
use crate::server::Keycloak;

/// The password of all users in the realm files.
pub(crate) const PASSWORD: &str = "markpass p&ss=w+rd 100% \u{fc}";
/// The client that asks about tokens, and its secret.
pub(crate) const RESOURCE_SERVER: (&str, &str) = ("resource-server", "marksecret-rs");
/// The secret of the client `api-secret`.
pub(crate) const SECRET: &str = "marksecret+&%= 1";

pub(crate) const CASES: &str = "cases";
/// The realm in which a refresh token can be used once.
pub(crate) const ROTATION: &str = "rotation";

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) keycloak: Keycloak,
    pub(crate) admin: Admin,
}

impl World {
    /// Starts a server and sets its realms up.
    pub(crate) async fn create(keycloak: Keycloak) -> Self {
        keycloak.start().await;
        let admin = Admin::new(&keycloak);
        admin.import(include_str!("realms/cases.json")).await;
        admin.import(include_str!("realms/rotation.json")).await;
        Self { keycloak, admin }
    }

    pub(crate) fn realm(&self) -> Realm<'_> {
        self.admin.realm(CASES)
    }

    pub(crate) fn token_url(&self, realm: &str) -> String {
        oidc(&self.keycloak.url(), realm, "token")
    }

    /// The grant of a user in the realm `cases`.
    pub(crate) fn grant(&self, client: &str, user: &str) -> PasswordGrant {
        self.grant_with(client, user, PASSWORD)
    }

    pub(crate) fn grant_with(&self, client: &str, user: &str, password: &str) -> PasswordGrant {
        PasswordGrant::new(self.token_url(CASES), client, user, password).expect("https")
    }

    /// An API that takes the tokens of the realm `cases`.
    pub(crate) async fn api(&self, check: Check) -> Api {
        Api::start(&self.keycloak.url(), CASES, check).await
    }
}

/// An OpenID Connect endpoint of a realm.
pub(crate) fn oidc(server: &str, realm: &str, endpoint: &str) -> String {
    format!("{server}/realms/{realm}/protocol/openid-connect/{endpoint}")
}

/// Waits until something holds, a minute at most.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} did not come");
        sleep(Duration::from_millis(2)).await;
    }
}
