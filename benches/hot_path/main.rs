//! What a live token costs on each request, beside a constant header.
//!
//! `cargo bench --bench hot_path` measures all; `-- --check` only what is
//! exact, against bounds ([`guard`]).

mod exact;
mod guard;
mod stacks;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use criterion::Criterion;
use tokio::runtime::Runtime;

use crate::exact::{Instructions, allocations};
use crate::support::alloc::Counting;
use crate::support::drive::{Pattern, Stack};
use crate::support::rounds::{Series, Spread, interleave};
use crate::support::stack::live_cache;
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 41;
const REQUESTS: usize = 100_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [exact::CHILD, stack, requests] => exact::run_child(stack, requests),
        _ if arguments.contains(&"--check") => return guard::check(),
        _ => measure(),
    }
    ExitCode::SUCCESS
}

/// A runtime for what a cache does in the background.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime")
}

fn measure() {
    let runtime = runtime();
    let tokens = live_cache();
    runtime.block_on(tokens.token()).expect("a token");
    let bare = stacks::bare();
    let constant = stacks::with_constant();
    let token = stacks::with_token(&tokens);
    distributions(&[
        ("bare", &*bare),
        ("constant", &*constant),
        ("token", &*token),
    ]);

    heading("Hot path", "cargo bench --bench hot_path");
    println!(
        "Nanoseconds for each request over the bare stack, medians of {ROUNDS} interleaved \
         rounds with their quartiles.\n"
    );
    let mut summary = Summary::new("hot_path");
    let mut times = Table::new(&[
        "pattern",
        "bare",
        "constant",
        "live token",
        "ratio",
        "target",
        "",
    ]);
    for (name, key, pattern) in [
        ("1 thread", "time_ratio_1_thread", Pattern::Kept(1)),
        ("2 threads", "time_ratio_2_threads", Pattern::Kept(2)),
        (
            "2 threads, a clone for each request",
            "time_ratio_clone_per_request",
            Pattern::Cloned(2),
        ),
    ] {
        let series = rounds(&[&*bare, &*constant, &*token], pattern);
        let ratio = series.cost_ratio(2, 1, 0);
        summary.number(key, ratio.median);
        times.row(&[
            name.to_owned(),
            series.of(0).show(1),
            series.difference(1, 0).show(1),
            series.difference(2, 0).show(1),
            ratio.show(2),
            "1.00".to_owned(),
            verdict(ratio.median <= 1.0).to_owned(),
        ]);
    }
    times.print();
    clone_body(&tokens, &mut summary);
    exact_figures(&mut summary, allocations(&*token, &*bare));
    summary.write();
}

fn rounds(stacks: &[&dyn Stack], pattern: Pattern) -> Series {
    let mut measures: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
    for stack in stacks {
        measures.push(Box::new(move || stack.time(pattern, REQUESTS)));
    }
    interleave(ROUNDS, &mut measures)
}

fn clone_body(tokens: &tower_bearer::TokenCache, summary: &mut Summary) {
    let token = stacks::with_clone_body(tokens);
    let (bare, retry) = (stacks::bare_with_body(), stacks::with_retry());
    let both = stacks::with_retry_and_constant();
    let series = rounds(&[&*bare, &*retry, &*both, &*token], Pattern::Kept(1));
    let over_retry = series.cost_ratio(3, 1, 0);
    let over_both = series.cost_ratio(3, 2, 0);
    summary.number("clone_body_over_retry", over_retry.median);
    summary.number("clone_body_over_retry_and_constant", over_both.median);
    println!("`CloneBody` with a `Full<Bytes>` body, 1 thread, beside tower's retry.\n");
    let mut table = Table::new(&["stack", "over bare, ns", "live token over it", "target", ""]);
    let row = |table: &mut Table, name: &str, measure, ratio: Option<Spread>| {
        let met = ratio.map(|ratio| verdict(ratio.median <= 1.0));
        table.row(&[
            name.to_owned(),
            series.difference(measure, 0).show(1),
            ratio.map_or_else(String::new, |ratio| ratio.show(2)),
            met.map_or("", |_| "1.00").to_owned(),
            met.unwrap_or_default().to_owned(),
        ]);
    };
    row(&mut table, "live token", 3, None);
    row(
        &mut table,
        "retry alone: no token at all",
        1,
        Some(over_retry),
    );
    row(
        &mut table,
        "retry and a constant header",
        2,
        Some(over_both),
    );
    table.print();
}

fn exact_figures(summary: &mut Summary, allocations: f64) {
    println!(
        "Counted: instructions under callgrind (where the clock is a system call, for lack of a \
         vDSO), and allocations over the bare stack.\n"
    );
    let mut table = Table::new(&[
        "what",
        "bare",
        "constant",
        "live token",
        "figure",
        "target",
        "",
    ]);
    let mut row = |what: &str, counts: [String; 3], figure: f64, target: f64| {
        let [bare, constant, token] = counts;
        table.row(&[
            what.to_owned(),
            bare,
            constant,
            token,
            format!("{figure:.3}"),
            format!("{target:.2}"),
            verdict(figure <= target).to_owned(),
        ]);
    };
    let counted = Instructions::count();
    match &counted {
        Ok(count) => {
            let Instructions {
                bare,
                constant,
                token,
            } = count;
            let over = |count: f64| format!("+{:.1}", count - bare);
            let counts = [format!("{bare:.1}"), over(*constant), over(*token)];
            row(
                "instructions",
                counts,
                count.ratio(),
                guard::TARGET_INSTRUCTION_RATIO,
            );
        }
        Err(reason) => println!("Instructions: not counted, {reason}\n"),
    }
    row(
        "allocations",
        Default::default(),
        allocations,
        guard::TARGET_ALLOCATIONS,
    );
    table.print();
    summary.number("instruction_ratio", counted.ok().map(|count| count.ratio()));
    summary.number("allocations_per_request", allocations);
}

/// How the times of single stacks are distributed. The ratios come from the
/// interleaved rounds: Criterion measures one stack after the other.
fn distributions(stacks: &[(&str, &dyn Stack)]) {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50);
    for (name, stack) in stacks {
        criterion.bench_function(&format!("hot_path/{name}"), |bencher| {
            bencher.iter_custom(|requests| {
                let requests = usize::try_from(requests).unwrap_or(usize::MAX);
                let each = stack.time(Pattern::Kept(1), requests);
                Duration::from_nanos((each * requests as f64) as u64)
            });
        });
    }
    criterion.final_summary();
}
