//! The start of a program that needs a token: a live one in a file, and a login.
//!
//! Each sample is a whole process, from its start to its end.

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tower_bearer::store::FileStore;
use tower_bearer::testing::TokenServer;
use tower_bearer::{AccessToken, PasswordGrant, TokenCache};

use crate::support::rounds::{Series, interleave};
use crate::support::summary::Summary;
use crate::support::table::{Table, heading, verdict};

/// The variable that makes a process a sample, and says of what.
const VARIABLE: &str = "TOWER_BEARER_START";
const ROUNDS: usize = 101;
/// What a live token in a file may cost over a token that is there, in milliseconds.
const MOST: f64 = 5.0;

fn main() {
    if let Ok(what) = std::env::var(VARIABLE) {
        return start(&what);
    }
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let server = TokenServer::builder().access_token_lifetime(Duration::from_secs(3600));
    let server = runtime.block_on(server.start()).expect("a server");
    let folder = std::env::temp_dir().join(format!("tower-bearer-start-{}", std::process::id()));
    let measure = |what: &str| {
        let (url, user, password) = (server.token_url(), server.username(), server.password());
        let what = [what, url, user, &password, &folder.to_string_lossy()].join("\n");
        move || sample(&what)
    };
    // Fills the store.
    measure("file")();
    let before = server.token_requests();
    measure("file")();
    assert_eq!(
        server.token_requests(),
        before,
        "a start with a live token asked for one"
    );
    let series = interleave(
        ROUNDS,
        &mut [
            Box::new(measure("fixed")),
            Box::new(measure("file")),
            Box::new(measure("login")),
        ],
    );
    let logins = server.token_requests() - before;
    assert_eq!(
        logins,
        ROUNDS as u64 + 1,
        "a start with a live token asked for one"
    );
    show(&series);
    std::fs::remove_dir_all(folder).expect("removed");
}

/// How long a process takes, in milliseconds.
fn sample(what: &str) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let start = Instant::now();
    let status = Command::new(program).env(VARIABLE, what).status();
    let passed = start.elapsed();
    assert!(status.expect("it runs").success());
    passed.as_secs_f64() * 1000.0
}

/// All that the process does: it gets a token.
fn start(what: &str) {
    let parts: Vec<&str> = what.split('\n').collect();
    let &[what, url, user, password, folder] = parts.as_slice() else {
        panic!("started by the bench");
    };
    let runtime: Runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let grant = || PasswordGrant::new(url, "api", user, password).expect("a grant");
    let tokens = match what {
        "fixed" => TokenCache::new(AccessToken::new("fixed").expect("a token")),
        "login" => TokenCache::new(grant()),
        _ => {
            let folder = PathBuf::from(folder);
            let store = FileStore::folder(folder.join("tokens")).key_file(folder.join("key"));
            let store = store.build().expect("a store");
            TokenCache::builder(grant())
                .store(store, user)
                .build()
                .expect("a cache")
        }
    };
    runtime.block_on(tokens.token()).expect("a token");
}

fn show(series: &Series) {
    heading(
        "Start of a process",
        "cargo bench --bench start --features file-store",
    );
    println!(
        "Milliseconds from the start of a process to its end, which gets a token in between: medians of {ROUNDS} interleaved rounds with their quartiles.\n"
    );
    let mut table = Table::new(&["the token", "ms", "ratio to a fixed one", "ms over it"]);
    for (n, what) in [
        "fixed in the program",
        "live, in a file",
        "a login on loopback",
    ]
    .iter()
    .enumerate()
    {
        let cells = [
            series.of(n).show(2),
            series.ratio(n, 0).show(2),
            series.difference(n, 0).show(2),
        ];
        let [ms, ratio, over] = match n {
            0 => [cells[0].clone(), String::new(), String::new()],
            _ => cells,
        };
        table.row(&[(*what).to_owned(), ms, ratio, over]);
    }
    table.print();
    let over = series.difference(1, 0).median;
    println!(
        "Under {MOST} ms over a fixed token: {}.",
        verdict(over < MOST)
    );
    let mut summary = Summary::new("start");
    summary.number("ms_over_fixed", over);
    summary.number("ratio_to_fixed", series.ratio(1, 0).median);
    summary.number("ratio_of_a_login", series.ratio(2, 0).median);
    summary.write();
}
