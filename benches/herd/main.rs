//! Many cold callers: one fetch, and the cost of parking and waking them.
//!
//! `cargo bench --bench herd` measures everything; `-- --check` only the exact
//! numbers, against bounds ([`guard`]).

mod crowd;
mod guard;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use crate::crowd::{Crowd, Parked, Waking};
use crate::support::alloc::Counting;
use crate::support::plot::Plot;
use crate::support::rounds::{ROUNDS, Series, interleave};
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIZES: [usize; 5] = [10, 100, 1000, 10_000, 100_000];
const MOST: usize = 100_000;

/// The targets for the wake-up over `Notify`: how many callers, the ratio, and its key
/// in the summary.
const TARGETS: [(usize, f64, &str); 4] = [
    (10, 1.5, "wake_ratio_10"),
    (100, 1.3, "wake_ratio_100"),
    (1000, 1.2, "wake_ratio_1000"),
    (MOST, 1.2, "wake_ratio"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let crowd = Crowd::new(runtime.handle().clone());
    if arguments.iter().any(|it| it == "--check") {
        return guard::check(&crowd);
    }
    measure(&crowd);
    ExitCode::SUCCESS
}

fn measure(crowd: &Crowd) {
    heading("Cold herd", "cargo bench --bench herd");
    let mut summary = Summary::new("herd");
    let mut most_requests = 0;
    let mut growth = Table::new(&[
        "callers",
        "token requests",
        "tower-bearer: wake, ns per caller",
        "Notify: wake, ns per caller",
        "wake ratio",
        "tower-bearer: all, ns per caller",
        "Notify: all, ns per caller",
    ]);
    let (mut ours, mut theirs, mut ours_all) = (Vec::new(), Vec::new(), Vec::new());
    let mut ratios = Vec::new();
    for size in SIZES {
        let mut requests = 0;
        let [wake, all] = rounds(crowd, size, &mut requests);
        most_requests = most_requests.max(requests);
        let ratio = wake.ratio(0, 1);
        growth.row(&[
            size.to_string(),
            requests.to_string(),
            wake.of(0).show(0),
            wake.of(1).show(0),
            ratio.show(2),
            all.of(0).show(0),
            all.of(1).show(0),
        ]);
        ours.push(wake.of(0).median);
        theirs.push(wake.of(1).median);
        ours_all.push(all.of(0).median);
        ratios.push((size, ratio));
    }
    println!(
        "Time per caller until the last one continues: from the token's arrival (\"wake\"), and \
         from the first caller's start (\"all\"). Medians of {ROUNDS} interleaved rounds, with \
         quartiles; 2 workers.\n"
    );
    growth.print();

    let (parked, notify) = guard::parked_bytes(crowd);
    println!("Targets; the bytes are those of {MOST} cold callers.\n");
    let mut table = Table::new(&["what", "tower-bearer", "Notify", "measured", "target", ""]);
    table.row(&[
        "token requests".to_owned(),
        most_requests.to_string(),
        String::new(),
        most_requests.to_string(),
        "1".to_owned(),
        verdict(most_requests == 1).to_owned(),
    ]);
    for (size, target, key) in TARGETS {
        let at = SIZES.iter().position(|it| *it == size).expect("measured");
        let (_, ratio) = ratios[at];
        summary.number(key, ratio.median);
        table.row(&[
            format!("wake-up of {size}, ns per caller"),
            format!("{:.0}", ours[at]),
            format!("{:.0}", theirs[at]),
            ratio.show(2),
            target.to_string(),
            verdict(ratio.median <= target).to_owned(),
        ]);
    }
    table.row(&[
        "heap bytes per parked caller".to_owned(),
        format!("{parked:.0}"),
        format!("{notify:.0}"),
        format!("{:+.0}", parked - notify),
        format!("{:+.0}", guard::TARGET_BYTES),
        verdict(parked - notify <= guard::TARGET_BYTES).to_owned(),
    ]);
    table.print();

    Plot {
        title: "Cold herd: cost of a caller by size of the herd",
        x: "cold callers",
        y: "ns for each caller",
        ticks: SIZES.iter().map(ToString::to_string).collect(),
        log: true,
        lines: vec![
            ("tower-bearer: wake".to_owned(), ours),
            ("Notify: wake".to_owned(), theirs),
            ("tower-bearer: all".to_owned(), ours_all),
        ],
    }
    .write("herd.svg");
    summary.number("token_requests", most_requests as f64);
    summary.number("bytes_per_waiter", parked - notify);
    summary.write();
}

/// The layer compared with `Notify`: nanoseconds for each caller to wake, and in
/// all. Small herds are repeated within a round.
fn rounds(crowd: &Crowd, size: usize, requests: &mut u64) -> [Series; 2] {
    let repeats = (10_000 / size).clamp(1, 200);
    let totals = std::cell::RefCell::new([Vec::new(), Vec::new()]);
    let requests = std::cell::Cell::from_mut(requests);
    let mut measures: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
    for (index, parked) in [Parked::Layer, Parked::Notify].into_iter().enumerate() {
        let (totals, requests) = (&totals, &requests);
        measures.push(Box::new(move || {
            let wakings: Vec<Waking> = (0..repeats).map(|_| crowd.wake(parked, size)).collect();
            let each = |nanos: fn(&Waking) -> f64| {
                wakings.iter().map(nanos).sum::<f64>() / (repeats * size) as f64
            };
            for waking in &wakings {
                requests.set(requests.get().max(waking.token_requests));
            }
            totals.borrow_mut()[index].push(each(|waking| waking.all.as_nanos() as f64));
            each(|waking| waking.wake.as_nanos() as f64)
        }));
    }
    let wake = interleave(ROUNDS, &mut measures);
    drop(measures);
    let all = totals.into_inner().map(|series| series[1..].to_vec());
    [wake, Series::from(all.to_vec())]
}
