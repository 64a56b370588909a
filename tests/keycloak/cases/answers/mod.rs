//! The server's responses, which prove what the documentation and
//! `testing::TokenServer` assume.

mod clients;
mod endings;
mod table;
mod tokens;
mod users;

use std::sync::Arc;

use table::Table;

use crate::world::World;

/// Status, `error` and `error_description` of each answer, in a table.
pub(crate) async fn what_the_server_answers(world: Arc<World>) -> String {
    // Up to 26.5 a wrong password is a 401.
    let older = world.keycloak.version.starts_with("26.4");
    let mut table = Table::new(world);
    table.requests_without_a_client().await;
    table.clients().await;
    table.users(older).await;
    table.refreshes().await;
    table.rotation().await;
    table.endings().await;
    table.successes().await;
    let (rows, wrong) = (table.rows, table.wrong.join("\n"));
    assert!(wrong.is_empty(), "{rows}\n{wrong}");
    rows
}
