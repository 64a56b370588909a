//! Tables for people to read, in Markdown, so that they can be pasted.

use std::time::SystemTime;

pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let mut table = Self { rows: Vec::new() };
        table.row(head);
        table
    }

    pub(crate) fn row<C: AsRef<str>>(&mut self, cells: &[C]) {
        let cells = cells.iter().map(|cell| cell.as_ref().to_owned());
        self.rows.push(cells.collect());
    }

    pub(crate) fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            println!("| {} |", cells.join(" | "));
            if number == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                println!("| {} |", rules.join(" | "));
            }
        }
        println!();
    }
}

/// A heading with what made the tables under it: the machine, the date and the
/// command.
pub(crate) fn heading(title: &str, command: &str) {
    let date = httpdate::fmt_http_date(SystemTime::now());
    println!("\n## {title}\n\n`{command}`, {date}, {}.\n", machine());
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{cores} cores of {model}, {os} on {arch}")
}

/// `met` or `MISSED`, for a target.
pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
