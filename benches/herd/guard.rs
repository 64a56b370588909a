//! The regression guard: exact numbers and their bounds.
//!
//! `cargo bench --bench herd --all-features -- --check` fails when a bound is exceeded.

use std::process::ExitCode;

use crate::MOST;
use crate::crowd::{Crowd, Parked};
use crate::support::table::{Table, verdict};

/// Heap bytes of a caller who waits for a token, over a task that is parked on
/// `Notify`: target and bound.
pub(crate) const TARGET_BYTES: f64 = 160.0;

/// The heap bytes of a caller: of the layer, and of `Notify`.
pub(crate) fn parked_bytes(crowd: &Crowd) -> (f64, f64) {
    (
        crowd.parked_bytes(Parked::Layer, MOST),
        crowd.parked_bytes(Parked::Notify, MOST),
    )
}

pub(crate) fn check(crowd: &Crowd) -> ExitCode {
    let (parked, notify) = parked_bytes(crowd);
    let bytes = parked - notify;
    // Not `bytes > TARGET_BYTES`, which NaN would pass.
    let kept = bytes <= TARGET_BYTES;
    let mut table = Table::new(&["what", "measured", "target and bound", ""]);
    table.row(&[
        "bytes_per_waiter".to_owned(),
        format!("{bytes:.0}"),
        format!("{TARGET_BYTES:.0}"),
        verdict(kept).to_owned(),
    ]);
    table.print();
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
