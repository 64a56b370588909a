//! How each design scales: 1 to 16 threads, each with a clone of the service.

#[path = "support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use tower::Layer;

use crate::support::alloc::Counting;
use crate::support::by_hand::{Locked, ReadLocked, Token, with_header};
use crate::support::drive::{Pattern, Stack, stack};
use crate::support::plot::Plot;
use crate::support::rounds::{ROUNDS, interleave};
use crate::support::stack::{Noop, bearer, constant, live_cache, token};
use crate::support::summary::Summary;
use crate::support::table::{Table, heading};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const THREADS: [usize; 7] = [1, 2, 3, 4, 6, 8, 16];
/// Requests of all threads together in one measure.
const REQUESTS: usize = 60_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime");
    let tokens = live_cache();
    runtime.block_on(tokens.token()).expect("a token");
    let login = || async {
        Ok(Token {
            secret: token(),
            expires: Instant::now() + Duration::from_secs(3000),
        })
    };
    let (mutex, rw_lock) = (Locked::new(login), ReadLocked::new(login));
    let mutex = move || mutex.clone().header();
    let rw_lock = move || rw_lock.clone().header();
    let stacks: [(&str, Box<dyn Stack>); 5] = [
        ("bare", stack(<Noop>::new(), ())),
        (
            "constant header",
            stack(constant().layer(<Noop>::new()), ()),
        ),
        (
            "tower-bearer",
            stack(bearer(&tokens).layer(<Noop>::new()), ()),
        ),
        (
            "tokio Mutex by hand",
            stack(with_header(<Noop>::new(), mutex), ()),
        ),
        (
            "tokio RwLock by hand",
            stack(with_header(<Noop>::new(), rw_lock), ()),
        ),
    ];

    heading("Contention", "cargo bench --bench contention");
    println!(
        "Millions of requests per second, all threads together: medians of {ROUNDS} rounds.\n"
    );
    let mut head = vec!["threads"];
    head.extend(stacks.iter().map(|(name, _)| *name));
    let mut table = Table::new(&head);
    let mut lines: Vec<(String, Vec<f64>)> = stacks
        .iter()
        .map(|(name, _)| ((*name).to_owned(), Vec::new()))
        .collect();
    let mut summary = Summary::new("contention");
    for threads in THREADS {
        let rates = rates(&stacks, threads);
        let mut row = vec![threads.to_string()];
        for (((name, _), rate), (_, line)) in stacks.iter().zip(&rates).zip(&mut lines) {
            row.push(format!("{rate:.2}"));
            line.push(*rate);
            summary.number(
                format!("{name}, {threads} threads").replace([' ', ','], "_"),
                *rate,
            );
        }
        table.row(&row);
    }
    table.print();
    Plot {
        title: "Contention: requests a second, no-op inner service",
        x: "threads",
        y: "millions of requests a second",
        ticks: THREADS.iter().map(ToString::to_string).collect(),
        log: false,
        lines,
    }
    .write("contention.svg");
    summary.write();
}

/// Millions of requests a second, by stack.
fn rates(stacks: &[(&str, Box<dyn Stack>)], threads: usize) -> Vec<f64> {
    let mut measures: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
    for (_, stack) in stacks {
        // From the start to the end of all threads: with more threads than
        // cores, the time of a single one says little.
        measures.push(Box::new(move || {
            stack.rate(Pattern::Kept(threads), REQUESTS / threads) / 1e6
        }));
    }
    let series = interleave(ROUNDS, &mut measures);
    (0..stacks.len())
        .map(|which| series.of(which).median)
        .collect()
}
