//! The crate against real Keycloak servers. See `tests/keycloak/run`, which
//! starts this; without what it sets up this fails and says so.
//!
//! One server for each version, and all cases against it, one after the other.
//! Arguments pick cases by a part of their name.

mod admin;
mod api;
mod cases;
mod leaks;
mod load;
mod proxy;
mod server;
mod stack;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use cases::{ALL, Case};
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
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted =
        |case: &&Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part));
    let cases: Vec<_> = ALL.iter().filter(is_wanted).collect();
    let (mut passed, mut failed) = (0, Vec::new());
    for keycloak in servers {
        let (started, version) = (Instant::now(), keycloak.version.clone());
        // In a task, so that a panic ends it and no more.
        let Ok(world) = tokio::spawn(World::create(keycloak)).await else {
            failed.push(format!("Keycloak {version} did not start"));
            continue;
        };
        let world = Arc::new(world);
        println!("Keycloak {version} started in {:.1?}", started.elapsed());
        for case in &cases {
            let started = Instant::now();
            let ended = tokio::spawn((case.run)(world.clone())).await;
            let took = started.elapsed();
            match ended {
                Ok(found) => {
                    passed += 1;
                    println!(
                        "ok      {version} {} ({took:.1?})\n        {found}",
                        case.name
                    );
                }
                // The panic has been printed.
                Err(_) => {
                    failed.push(format!("{version} {}", case.name));
                    println!("FAILED  {version} {} ({took:.1?})", case.name);
                }
            }
        }
        println!("Keycloak {version}: {:.1?} in all", started.elapsed());
    }
    match leaks::result() {
        Ok(found) => println!("ok      nothing secret was logged\n        {found}"),
        Err(found) => {
            println!("FAILED  nothing secret was logged: {found}");
            failed.push("nothing secret was logged".into());
        }
    }
    for name in &failed {
        println!("failed: {name}");
    }
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() && !cases.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
