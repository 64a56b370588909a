//! Many cold callers: one fetch, and what it takes to park and to wake them.

mod crowd;
#[path = "../support/mod.rs"]
mod support;

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

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let crowd = Crowd::new(runtime.handle().clone());

    heading("Cold herd", "cargo bench --bench herd");
    let mut summary = Summary::new("herd");
    let mut most_requests = 0;
    let mut growth = Table::new(&[
        "callers",
        "token requests",
        "tower-bearer: wake, ns a caller",
        "Notify: wake, ns a caller",
        "wake ratio",
        "tower-bearer: all, ns a caller",
        "Notify: all, ns a caller",
    ]);
    let (mut ours, mut theirs, mut ours_all) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for size in SIZES {
        let mut requests = 0;
        let [wake, all] = rounds(&crowd, size, &mut requests);
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
        last = Some(ratio);
    }
    println!(
        "From the token's arrival to the last caller's going on, and from the first caller's \
         start to there, for each caller: medians of {ROUNDS} interleaved rounds with their \
         quartiles, 2 workers.\n"
    );
    growth.print();

    let (parked, notify) = (
        crowd.parked_bytes(Parked::Layer, MOST),
        crowd.parked_bytes(Parked::Notify, MOST),
    );
    let wake_ratio = last.map_or(f64::NAN, |ratio| ratio.median);
    println!("{MOST} cold callers.\n");
    let mut table = Table::new(&["what", "tower-bearer", "Notify", "figure", "target", ""]);
    table.row(&[
        "token requests".to_owned(),
        most_requests.to_string(),
        String::new(),
        most_requests.to_string(),
        "1".to_owned(),
        verdict(most_requests == 1).to_owned(),
    ]);
    table.row(&[
        "wake-up, ns a caller".to_owned(),
        format!("{:.0}", ours[SIZES.len() - 1]),
        format!("{:.0}", theirs[SIZES.len() - 1]),
        last.map_or_else(String::new, |ratio| ratio.show(2)),
        "1.5".to_owned(),
        verdict(wake_ratio <= 1.5).to_owned(),
    ]);
    table.row(&[
        "heap bytes a parked caller".to_owned(),
        format!("{parked:.0}"),
        format!("{notify:.0}"),
        format!("{:+.0}", parked - notify),
        "+256".to_owned(),
        verdict(parked - notify <= 256.0).to_owned(),
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
    summary.number("wake_ratio", wake_ratio);
    summary.number("bytes_per_waiter", parked - notify);
    summary.write();
}

/// The layer beside `Notify`: nanoseconds a caller to wake, and in all. Small
/// herds are repeated within a round.
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
