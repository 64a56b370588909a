//! Many accounts: memory for each, the time to find one for a request, and a cold
//! start.
//!
//! `cargo bench --bench accounts --features accounts` measures everything; `--
//! --check` only the exact numbers, against their bounds.

mod cold;
mod exact;
mod hot;
mod memory;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use crate::support::alloc::Counting;
use crate::support::summary::Summary;
use crate::support::table::heading;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--check") {
        return memory::check();
    }
    if let [exact::CHILD, stack, of, requests] =
        *arguments.iter().map(String::as_str).collect::<Vec<_>>()
    {
        hot::run_child(stack, of, requests);
        return ExitCode::SUCCESS;
    }
    heading(
        "Accounts",
        "cargo bench --bench accounts --features accounts",
    );
    let mut summary = Summary::new("accounts");
    memory::measure(&mut summary);
    hot::measure(&mut summary);
    cold::measure(&mut summary);
    summary.write();
    ExitCode::SUCCESS
}

/// Returns a runtime for the background tasks of the accounts.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime")
}
