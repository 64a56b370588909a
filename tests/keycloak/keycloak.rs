//! The crate against real Keycloak servers. `tests/keycloak/run` starts this test;
//! without its setup the test fails with a message.
//!
//! One server for each version, and all cases against it, one after the other.
//! Arguments select cases by a part of their name.

mod admin;
mod api;
mod cases;
mod leaks;
#[path = "../support/load.rs"]
mod load;
#[path = "../support/process.rs"]
mod process;
mod proxy;
#[path = "../support/running.rs"]
mod running;
mod server;
mod stack;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use cases::ALL;
use running::Results;
use server::Keycloak;
use world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let servers = match Keycloak::all() {
        Ok(servers) => servers,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    leaks::watch();
    let cases = running::wanted(ALL);
    let mut results = Results::default();
    for keycloak in servers {
        let (started, version) = (Instant::now(), keycloak.version.clone());
        // In a task, so that a panic ends only that.
        let Ok(world) = tokio::spawn(World::create(keycloak)).await else {
            results.fail(format!("Keycloak {version} did not start"));
            continue;
        };
        println!("Keycloak {version} started in {:.1?}", started.elapsed());
        results.run(&version, &Arc::new(world), &cases).await;
        println!("Keycloak {version}: {:.1?} in all", started.elapsed());
    }
    match leaks::result() {
        Ok(found) => println!("ok      nothing secret was logged\n        {found}"),
        Err(found) => {
            println!("FAILED  nothing secret was logged: {found}");
            results.fail("nothing secret was logged".into());
        }
    }
    results.end()
}
