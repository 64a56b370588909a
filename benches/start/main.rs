//! The start of a program that sends a request with a token, and of one that needs
//! only the token: with a live one in a file, and with a login.
//!
//! Each sample is a whole process, from its start until it has its result.

mod program;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tower_bearer::TokenCache;
use tower_bearer::testing::TokenServer;

use crate::program::{ALL, Program, Setup};
use crate::support::rounds::{Series, interleave};
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

const ROUNDS: usize = 101;
/// How long a first request may take after a token request, relative to one with a
/// constant header.
const TARGET: f64 = 1.5;
/// How much longer a live token in a file may take than a token in memory, in
/// milliseconds.
const MOST: f64 = 5.0;

fn main() {
    if program::run_if_started() {
        return;
    }
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let server = TokenServer::builder().access_token_lifetime(Duration::from_secs(3600));
    let server = runtime.block_on(server.start()).expect("a server");
    let live = TokenCache::new(server.grant());
    let live = runtime.block_on(live.token()).expect("a token");
    let folder = std::env::temp_dir().join(format!("tower-bearer-start-{}", std::process::id()));
    let setup = Setup {
        token_url: server.token_url().to_owned(),
        api_url: server.api_url().to_owned(),
        username: server.username().to_owned(),
        password: server.password(),
        token: live.secret().to_owned(),
        folder: folder.to_string_lossy().into_owned(),
    };
    // Fills the store.
    sample(&setup, Program::File);
    let before = server.token_requests();
    let mut measures: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
    for program in ALL {
        let setup = &setup;
        measures.push(Box::new(move || sample(setup, program)));
    }
    let series = interleave(ROUNDS, &mut measures);
    drop(measures);
    // One round is not counted, and three of the programs send a token request.
    let expected = 3 * (ROUNDS as u64 + 1);
    assert_eq!(
        server.token_requests() - before,
        expected,
        "a start with a live token asked for one"
    );
    show(&series);
    std::fs::remove_dir_all(folder).expect("removed");
}

/// How long a process takes until it is done, in milliseconds.
fn sample(setup: &Setup, program: Program) -> f64 {
    let (variable, value) = setup.variable(program);
    let this = std::env::current_exe().expect("this program");
    let mut command = Command::new(this);
    command.env(variable, value).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().expect("it starts");
    let output = child.stdout.take().expect("piped");
    let mut line = String::new();
    let read = BufReader::new(output).read_line(&mut line);
    let passed = start.elapsed();
    read.expect("a line");
    assert!(child.wait().expect("it ends").success(), "{program:?}");
    assert_eq!(line, "done\n", "{program:?}");
    passed.as_secs_f64() * 1000.0
}

fn at(program: Program) -> usize {
    let at = ALL.into_iter().position(|it| it == program);
    at.expect("one of all")
}

fn show(series: &Series) {
    use Program::{File, Fixed, HyperConstant, HyperLayer, Login, ReqwestConstant, ReqwestLayer};
    heading(
        "Start of a process",
        "cargo bench --bench start --features file-store",
    );
    println!(
        "Milliseconds from the start of a process until its first response, with a token endpoint \
         and an API on loopback, or until it has a token: medians of {ROUNDS} interleaved rounds, \
         with quartiles. Each program is compared with the same one without a token request.\n"
    );
    let mut table = Table::new(&["program", "ms", "ratio", "ms more", "target", ""]);
    let mut summary = Summary::new("start");
    for (program, base, what, target, key) in [
        (ReqwestConstant, None, "reqwest, constant header", None, ""),
        (
            ReqwestLayer,
            Some(ReqwestConstant),
            "reqwest, the layer and a token request",
            Some(TARGET),
            "start_ratio",
        ),
        (
            HyperConstant,
            None,
            "hyper without TLS, constant header",
            None,
            "",
        ),
        (
            HyperLayer,
            Some(HyperConstant),
            "hyper without TLS, the layer and a token request",
            Some(TARGET),
            "start_ratio_hyper",
        ),
        (Fixed, None, "a fixed token in the program", None, ""),
        (
            File,
            Some(Fixed),
            "a live token in a file",
            None,
            "ratio_to_fixed",
        ),
        (
            Login,
            Some(Fixed),
            "a token from a token request",
            None,
            "ratio_of_a_login",
        ),
    ] {
        let ratio = base.map(|base| series.ratio(at(program), at(base)));
        let over = base.map(|base| series.difference(at(program), at(base)));
        table.row(&[
            what.to_owned(),
            series.of(at(program)).show(2),
            ratio.map_or_else(String::new, |it| it.show(2)),
            over.map_or_else(String::new, |it| it.show(2)),
            target.map_or_else(String::new, |it: f64| it.to_string()),
            ratio
                .zip(target)
                .map_or("", |(it, target)| verdict(it.median <= target))
                .to_owned(),
        ]);
        if let Some(ratio) = ratio {
            summary.number(key, ratio.median);
        }
    }
    table.print();
    let over = series.difference(at(File), at(Fixed)).median;
    println!(
        "Less than {MOST} ms more than a fixed token: {}.",
        verdict(over < MOST)
    );
    summary.number("ms_over_fixed", over);
    summary.write();
}
