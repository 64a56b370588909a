//! To come.
pub(crate) fn run(_: u64) {}
