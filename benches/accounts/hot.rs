//! A request whose account has a token, compared with one through a single cache.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Runtime;
use tower::Layer;
use tower_bearer::{Accounts, AccountsLayer, NoReplay, Origins, TokenCache};

use crate::exact::instructions;
use crate::memory::accounts;
use crate::runtime;
use crate::support::drive::{Pattern, Stack, stack};
use crate::support::rounds::interleave;
use crate::support::stack::{Noop, bearer, live_cache};
use crate::support::summary::Summary;
use crate::support::table::{Table, verdict};

const ACCOUNTS: u64 = 100_000;
const ROUNDS: usize = 301;
const REQUESTS: usize = 6_400;
const TARGET: f64 = 2.0;
const TARGET_OF_ALL: f64 = 5.0;

thread_local! {
    /// The account of the request that this thread made last.
    static KEY: Cell<u64> = Cell::new(START.fetch_add(17_389, Ordering::Relaxed));
}

/// Where the next thread begins: each round has threads of its own, which would send
/// for the same accounts as the last.
static START: AtomicU64 = AtomicU64::new(0);

/// The body of a request. A copy is for the next of so many accounts.
struct NextOf(u64);

impl Clone for NextOf {
    fn clone(&self) -> Self {
        // A step so large that CPU caches cannot prefetch the next account.
        KEY.set((KEY.get() + 61_981) % self.0);
        Self(self.0)
    }
}

/// The stacks that are measured, with a valid token for each account.
pub(crate) struct Stacks {
    _runtime: Runtime,
    single: TokenCache,
    accounts: Accounts<u64>,
}

impl Stacks {
    pub(crate) fn new(number: u64) -> Self {
        let (runtime, accounts, single) = (runtime(), accounts(), live_cache());
        runtime.block_on(async {
            single.token().await.expect("a token");
            for key in 0..number {
                let tokens = accounts.get_or_create(&key).expect("an account");
                tokens.token().await.expect("a token");
            }
        });
        Self {
            _runtime: runtime,
            single,
            accounts,
        }
    }

    /// Returns the bare stack, the one with a single cache and the one with
    /// accounts, for requests of so many accounts in turn.
    pub(crate) fn of(&self, of: u64) -> [Box<dyn Stack>; 3] {
        let origins = Origins::only(["https://api.example.com"]).expect("an origin");
        let layer = AccountsLayer::new(self.accounts.clone(), origins)
            .account_by(|_| Some(KEY.get()))
            .replay(NoReplay);
        [
            stack(<Noop>::new(), NextOf(of)),
            stack(bearer(&self.single).layer(<Noop>::new()), NextOf(of)),
            stack(layer.layer(<Noop>::new()), NextOf(of)),
        ]
    }
}

pub(crate) fn measure(summary: &mut Summary) {
    let all = Stacks::new(ACCOUNTS);
    println!(
        "Nanoseconds per request, added to the bare stack: medians of {ROUNDS} interleaved rounds \
         of {REQUESTS} requests, with quartiles; {ACCOUNTS} accounts. The ratio is that of the \
         fastest tenth of each stack's rounds.\n"
    );
    let head = ["pattern", "single cache", "accounts", "ratio", "target", ""];
    let mut table = Table::new(&head);
    for (name, key, of, pattern) in [
        ("one account, 1 thread", "one_1_thread", 1, Pattern::Kept(1)),
        (
            "one account, 2 threads",
            "one_2_threads",
            1,
            Pattern::Kept(2),
        ),
        ("64 in turn, 1 thread", "64_1_thread", 64, Pattern::Kept(1)),
        (
            "64 in turn, 2 threads",
            "64_2_threads",
            64,
            Pattern::Kept(2),
        ),
        (
            "64 in turn, 2 threads, a clone for each request",
            "64_clone_per_request",
            64,
            Pattern::Cloned(2),
        ),
        (
            "all in turn, 1 thread",
            "all_1_thread",
            ACCOUNTS,
            Pattern::Kept(1),
        ),
        (
            "all in turn, 2 threads",
            "all_2_threads",
            ACCOUNTS,
            Pattern::Kept(2),
        ),
    ] {
        let stacks = all.of(of);
        let mut measures: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
        for stack in &stacks {
            measures.push(Box::new(move || stack.time(pattern, REQUESTS)));
        }
        let series = interleave(ROUNDS, &mut measures);
        let target = if of == ACCOUNTS {
            TARGET_OF_ALL
        } else {
            TARGET
        };
        let cost = |one| series.quiet_cost(one, 0);
        let ratio = cost(2) / cost(1);
        summary.number(format!("time_ratio_{key}"), ratio);
        if key == "all_1_thread" {
            summary.number("all_in_turn_ratio_1_thread", ratio);
        }
        table.row(&[
            name.to_owned(),
            series.difference(1, 0).show(1),
            series.difference(2, 0).show(1),
            format!("{ratio:.2} ({:.0} / {:.0})", cost(2), cost(1)),
            format!("{target:.2}"),
            verdict(ratio <= target).to_owned(),
        ]);
    }
    table.print();
    exact_figures(summary);
}

fn exact_figures(summary: &mut Summary) {
    println!("Instructions per request, added to the bare stack, under callgrind.\n");
    let head = ["pattern", "single cache", "accounts", "ratio", "target", ""];
    let mut table = Table::new(&head);
    for (name, key, of) in [("one account", "one", 1), ("64 in turn", "64", 64)] {
        let count = |stack| instructions(stack, of);
        let counted =
            count("bare").and_then(|bare| Ok((count("single")? - bare, count("accounts")? - bare)));
        let (single, accounts) = match counted {
            Ok(counted) => counted,
            Err(reason) => {
                println!("{name}: not counted, {reason}\n");
                summary.number(format!("instruction_ratio_{key}"), None);
                continue;
            }
        };
        let ratio = accounts / single;
        summary.number(format!("instruction_ratio_{key}"), ratio);
        table.row(&[
            name.to_owned(),
            format!("+{single:.1}"),
            format!("+{accounts:.1}"),
            format!("{ratio:.2}"),
            format!("{TARGET:.2}"),
            verdict(ratio <= TARGET).to_owned(),
        ]);
    }
    table.print();
}

/// Runs in the child process whose instructions are counted.
pub(crate) fn run_child(stack: &str, of: &str, requests: &str) {
    let of = of.parse().expect("a number of accounts");
    let requests = requests.parse().expect("a number of requests");
    let stacks = Stacks::new(64);
    let [bare, single, accounts] = stacks.of(of);
    match stack {
        "bare" => bare.run(requests),
        "single" => single.run(requests),
        "accounts" => accounts.run(requests),
        other => panic!("no stack is called {other}"),
    }
}
