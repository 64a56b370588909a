//! Many accounts: what one costs in memory, what finding it costs on each
//! request, and a cold start.
//!
//! `cargo bench --bench accounts --features accounts`

mod cold;
mod hot;
mod memory;
#[path = "../support/mod.rs"]
mod support;

use crate::support::alloc::Counting;
use crate::support::summary::Summary;
use crate::support::table::heading;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    heading(
        "Accounts",
        "cargo bench --bench accounts --features accounts",
    );
    let mut summary = Summary::new("accounts");
    memory::measure(&mut summary);
    hot::measure(&mut summary);
    cold::measure(&mut summary);
    summary.write();
}

/// A runtime for what accounts do in the background.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime")
}
