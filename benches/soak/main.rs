//! An hour of load, with everything that happens to tokens; not part of the checks.
//!
//! `cargo bench --bench soak --features accounts -- 60` runs for 60 minutes, which
//! is also the default. Tokens live 5 s. They are revoked, the token endpoint comes
//! and goes, accounts come and go, and one has a wrong password. At the end, memory
//! and tasks must be what they were at the start, and no request may fail that the
//! rules would have served ([`rules`]).

mod load;
mod rules;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod text;

use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::time::{sleep, sleep_until};

use crate::load::Load;
use crate::rules::{CYCLE, EVENTS, Event};
use crate::server::Server;
use crate::support::alloc::{self, Counting};
use crate::support::rounds::Spread;
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SAMPLE: Duration = Duration::from_secs(5);
/// How much the end may exceed the start: accounts and connections differ by that
/// much from one minute to the next.
const NOISE: f64 = 1.05;

/// What the process uses at one moment.
#[derive(Clone, Copy)]
struct Sample {
    heap: f64,
    resident: f64,
    tasks: f64,
}

impl Sample {
    fn take() -> Self {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        Self {
            heap: alloc::read().live_bytes as f64 / 1024.0,
            resident: pages.map_or(f64::NAN, |pages: f64| pages * 4.0),
            tasks: Handle::current().metrics().num_alive_tasks() as f64,
        }
    }
}

fn main() -> ExitCode {
    if server::run_if_started() {
        return ExitCode::SUCCESS;
    }
    let minutes = std::env::args().find_map(|argument| argument.parse().ok());
    let minutes: u64 = minutes.unwrap_or(60);
    assert!(minutes >= 4, "the first and the last tenth are compared");
    alloc::start();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(soak(minutes))
}

async fn soak(minutes: u64) -> ExitCode {
    let mut server = Server::start();
    let mut load = Load::start(&server).expect("a valid configuration");
    let outages = load.outages.clone();
    let start = tokio::time::Instant::now();
    let sampler = tokio::spawn(async move {
        let mut samples = Vec::with_capacity(minutes as usize * 60);
        loop {
            sleep(SAMPLE).await;
            samples.push(Sample::take());
            if start.elapsed() >= Duration::from_secs(minutes * 60) {
                return samples;
            }
        }
    });
    for cycle in 0..u32::try_from(minutes).expect("not for ever") {
        for (at, event) in EVENTS {
            sleep_until(start + CYCLE * cycle + Duration::from_secs_f64(at)).await;
            // Recorded on the side on which it matters first.
            match event {
                Event::Down => {
                    outages.record(event);
                    server.up(false);
                }
                Event::Up => {
                    server.up(true);
                    outages.record(event);
                }
                Event::Revoke => {
                    outages.record(event);
                    server.revoke();
                }
            }
        }
        sleep_until(start + CYCLE * (cycle + 1)).await;
        println!("minute {}: {}", cycle + 1, load.seen.show());
    }
    let samples = sampler.await.expect("no panic");
    load.stop().await;
    let met = show(minutes, &samples, &load);
    let _ = load.accounts.shutdown(Duration::from_secs(10)).await;
    let _ = load.tokens.shutdown().await;
    let before = Instant::now();
    drop(load);
    // A connection's task ends soon after its client.
    while Handle::current().metrics().num_alive_tasks() > 0
        && before.elapsed() < Duration::from_secs(5)
    {
        sleep(Duration::from_millis(50)).await;
    }
    let left = Handle::current().metrics().num_alive_tasks();
    println!("tasks left at the end: {left}");
    match met && left == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn show(minutes: u64, samples: &[Sample], load: &Load) -> bool {
    heading(
        "Soak",
        &format!("cargo bench --bench soak --features accounts -- {minutes}"),
    );
    println!("{}\n", load.seen.show());
    // Whole cycles, for accounts and connections come and go with the cycle. The first
    // one is to get warm.
    let cycle = (CYCLE.as_secs() / SAMPLE.as_secs()) as usize;
    let part = (minutes as usize / 10).max(1) * cycle;
    let warm = &samples[cycle..];
    let (first, last) = (&warm[..part], &warm[warm.len() - part..]);
    let mut table = Table::new(&["medians", "at the start", "at the end", "ratio", ""]);
    let mut summary = Summary::new("soak");
    let mut met = true;
    type Figure = fn(&Sample) -> f64;
    let figures: [(&str, &str, Figure); 3] = [
        ("heap, KiB", "heap_ratio", |sample| sample.heap),
        ("resident, KiB", "resident_ratio", |sample| sample.resident),
        ("tasks", "tasks_ratio", |sample| sample.tasks),
    ];
    for (name, key, figure) in figures {
        let median = |samples: &[Sample]| Spread::new(samples.iter().map(figure).collect()).median;
        let (first, last) = (median(first), median(last));
        let ratio = last / first;
        met &= ratio <= NOISE;
        table.row(&[
            name.to_owned(),
            format!("{first:.0}"),
            format!("{last:.0}"),
            format!("{ratio:.3}"),
            verdict(ratio <= NOISE).to_owned(),
        ]);
        summary.number(key, ratio);
    }
    table.print();
    println!("```text");
    for (name, _, figure) in figures {
        text::plot(name, &samples.iter().map(figure).collect::<Vec<_>>());
    }
    println!("```\n");
    let seen = &load.seen;
    for (key, count) in [
        ("served", &seen.served),
        ("replayed", &seen.replayed),
        ("refused", &seen.refused),
        ("failed_in_outages", &seen.permitted),
        ("rejected_twice", &seen.twice),
        ("failed", &seen.failed),
    ] {
        summary.number(key, count.load(Relaxed) as f64);
    }
    summary.number("minutes", minutes as f64);
    summary.write();
    met && seen.failed.load(Relaxed) == 0
}
