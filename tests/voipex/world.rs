//! A company: an API access, its users, and the accounts of an app that serves them.

use std::sync::Arc;

use tower_bearer::accounts::AccountsBuilder;
use tower_bearer::testing::{TokenServer, TokenServerBuilder};
use tower_bearer::{Accounts, BoxError, TokenCache};

/// The name of the API access.
pub(crate) const ACCESS: &str = "api@company.example";

pub(crate) fn login(number: usize) -> String {
    format!("user{number}@company.example")
}

/// Returns a server with an access that may act for this many users, and for those
/// that the builder has.
pub(crate) fn company(users: usize, builder: TokenServerBuilder) -> Arc<TokenServer> {
    let builder = builder.user(ACCESS, "secret").impersonator(ACCESS);
    let add = |builder: TokenServerBuilder, n| builder.user(login(n), "unknown to the app");
    Arc::new((0..users).fold(builder, add).in_process())
}

pub(crate) fn access(server: &TokenServer) -> TokenCache {
    TokenCache::new(server.grant_for(ACCESS, "secret"))
}

/// Returns the accounts of all users, by login.
pub(crate) fn users(server: &Arc<TokenServer>, access: &TokenCache) -> AccountsBuilder<String> {
    let (server, access) = (server.clone(), access.clone());
    Accounts::builder(move |login: String| {
        let user = server.impersonation(&access, login);
        async { Ok::<_, BoxError>(user) }
    })
}

pub(crate) fn tokens(users: &Accounts<String>, number: usize) -> TokenCache {
    users.get_or_create(&login(number)).expect("an account")
}
