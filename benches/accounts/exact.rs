//! Instructions of one request: exact even on a busy machine.

use std::process::Command;

/// The argument of the child process whose instructions are counted.
pub(crate) const CHILD: &str = "--callgrind-child";

/// The difference of the two cancels what the start of the process costs.
const MANY: u64 = 6000;
const FEW: u64 = 2000;

/// Returns the instructions of a request through the stack of this name, with this
/// many accounts in turn, or why they cannot be counted.
pub(crate) fn instructions(stack: &str, of: u64) -> Result<f64, String> {
    let (many, few) = (collected(stack, of, MANY)?, collected(stack, of, FEW)?);
    Ok((many - few) as f64 / (MANY - FEW) as f64)
}

fn collected(stack: &str, of: u64, requests: u64) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([CHILD, stack, &of.to_string(), &requests.to_string()])
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
