//! What can be counted exactly: instructions and allocations.

use std::process::Command;

use crate::stacks;
use crate::support::alloc;
use crate::support::drive::Stack;
use crate::support::stack::live_cache;

/// The argument that makes this program a child under valgrind.
pub(crate) const CHILD: &str = "--child";

/// Two runs of different lengths differ by their requests alone.
const FEW: u64 = 1000;
const MANY: u64 = 3000;

/// The instructions of one request by stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instructions {
    pub(crate) bare: f64,
    pub(crate) constant: f64,
    pub(crate) token: f64,
}

impl Instructions {
    /// Counts under callgrind, or returns why that is impossible.
    ///
    /// Callgrind counts what the program executes and nothing of the kernel. Under
    /// valgrind there is no vDSO, so `clock_gettime` is a system call: of the
    /// layer's read of the clock, only the few instructions around the call are
    /// counted.
    pub(crate) fn count() -> Result<Self, String> {
        let of = |stack: &str| -> Result<f64, String> {
            let (many, few) = (collected(stack, MANY)?, collected(stack, FEW)?);
            Ok((many - few) as f64 / (MANY - FEW) as f64)
        };
        Ok(Self {
            bare: of("bare")?,
            constant: of("constant")?,
            token: of("token")?,
        })
    }

    /// Returns the cost of a token relative to that of a constant.
    pub(crate) fn ratio(&self) -> f64 {
        (self.token - self.bare) / (self.constant - self.bare)
    }
}

fn collected(stack: &str, requests: u64) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([CHILD, stack, &requests.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| {
        let (_, count) = line.split_once("Collected : ")?;
        count.trim().parse().ok()
    });
    match collected {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("valgrind failed: {log}")),
    }
}

/// The child's part.
pub(crate) fn run_child(stack: &str, requests: &str) {
    let requests = requests.parse().expect("a number of requests");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let tokens = live_cache();
    runtime.block_on(tokens.token()).expect("a token");
    let stack = match stack {
        "bare" => stacks::bare(),
        "constant" => stacks::with_constant(),
        "token" => stacks::with_token(&tokens),
        other => panic!("no stack is called {other}"),
    };
    stack.run(requests);
}

/// Heap allocations of each request over those of the bare stack.
pub(crate) fn allocations(stack: &dyn Stack, bare: &dyn Stack) -> f64 {
    const REQUESTS: usize = 10_000;
    let of = |stack: &dyn Stack, requests| {
        alloc::start();
        stack.run(requests);
        alloc::stop().allocations
    };
    // A first run, for what is created only once.
    of(stack, REQUESTS);
    let each = |stack| (of(stack, 2 * REQUESTS) - of(stack, REQUESTS)) as f64 / REQUESTS as f64;
    each(stack) - each(bare)
}
