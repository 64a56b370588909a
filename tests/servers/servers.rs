//! The crate against one real authorization server. `tests/servers/run` starts this
//! test for each server; without its setup the test fails with a message.
//!
//! Arguments select cases by a part of their name. The counts are of what reached
//! the server: see `watch.rs`.

mod about;
mod cases;
#[path = "../support/load.rs"]
mod load;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/running.rs"]
mod running;
mod stack;
mod watch;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use cases::ALL;
use running::Results;
use world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let mut results = Results::default();
    let started = Instant::now();
    // In a task, so that a panic ends only that.
    match tokio::spawn(World::create()).await {
        Ok(world) => {
            let name = &world.about.name;
            println!("{name}: started in {:.1?}", started.elapsed());
            let world = Arc::new(world);
            let cases = running::wanted(ALL);
            results.run("", &world, &cases).await;
            println!("{:.1?} in all", started.elapsed());
        }
        Err(_) => results.fail("the server did not start".into()),
    }
    results.end()
}
