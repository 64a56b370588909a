//! The alternatives that a user has, in one run: hot path, cold herd, rotation.
//! `-- 51` takes so many rounds of the hot path.

mod api;
mod aws;
mod azure;
mod endpoint;
mod herd;
mod hot_path;
mod lineup;
mod reqwest_auth;
mod rotation;
mod setup;
#[path = "../../support/mod.rs"]
mod support;

use std::time::Duration;

use crate::lineup::Peer;
use crate::support::drive::run_within;
use crate::support::paired::ROUNDS;
use crate::support::summary::Summary;

const COMMAND: &str = "cargo bench --manifest-path benches/peers/Cargo.toml";

/// The lifetime of tokens that are never renewed.
const LONG: Duration = Duration::from_secs(3000);

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    run_within(runtime.handle().clone());
    let mut summary = Summary::new("peers");
    hot_path::hot_path(&runtime, rounds.unwrap_or(ROUNDS), &mut summary);
    herd::herd(&runtime, &mut summary);
    rotation::rotation(&runtime, &mut summary);
    summary.write();
}

/// A peer's figure in the summary.
fn key(peer: Peer, what: &str) -> String {
    let peer = format!("{peer:?}").to_ascii_lowercase();
    format!("{peer}_{what}")
}
