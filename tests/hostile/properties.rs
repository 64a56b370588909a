//! The bodies over seeds, findings and generated input.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

#[cfg(feature = "reqwest")]
use crate::urls;
use crate::{challenge, exchange, origins, retry_after, token_answer};

const CASES: u32 = 2000;

/// The seeds of a target, with the fuzzer's findings among them as `found-*`.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let seeds: Vec<_> = files
        .map(|file| fs::read(file.expect("a file").path()).expect("a seed"))
        .collect();
    assert!(seeds.len() > 3, "{target} has {} seeds", seeds.len());
    seeds
}

/// Bytes of any kind, pieces that mean something here, and both grafted upon a
/// seed.
fn input(seeds: &[Vec<u8>], words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    let phrase = vec(word, 0..12).prop_map(|words| words.concat());
    let grafts = vec((any::<Index>(), any::<Index>(), phrase.clone()), 0..4);
    let grafted = (select(seeds.to_vec()), grafts).prop_map(|(mut seed, grafts)| {
        for (from, length, graft) in grafts {
            let from = from.index(seed.len() + 1);
            let to = from + length.index(seed.len() - from + 1).min(12);
            seed.splice(from..to, graft);
        }
        seed
    });
    prop_oneof![2 => grafted, 1 => phrase, 1 => vec(any::<u8>(), 0..200)]
}

fn hold(target: &str, words: &'static [&'static str], check: fn(&[u8])) {
    let seeds = seeds(target);
    for seed in &seeds {
        if let Err(panic) = catch_unwind(|| check(seed)) {
            eprintln!("the seed was {:?}", String::from_utf8_lossy(seed));
            resume_unwind(panic);
        }
    }
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&input(&seeds, words), |input| {
        let checked = catch_unwind(AssertUnwindSafe(|| check(&input)));
        checked.map_err(|_| TestCaseError::fail("a property does not hold"))
    });
    if let Err(failure) = outcome {
        panic!("{target}: {failure}");
    }
}

#[test]
fn an_answer_yields_a_bearer_token_or_an_error_that_quotes_none_of_it() {
    let words = &[
        "200\n",
        "204\n",
        "200f\n",
        "400f\n",
        "access_token=",
        "token_type=",
        "expires_in=",
        "error=",
        "error_description=",
        "&",
        "%20",
        "%2",
        "307\n",
        "400\n",
        "401\n",
        "429\n",
        "503\n",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"access_token\":",
        "\"token_type\":",
        "\"expires_in\":",
        "\"refresh_token\":",
        "\"refresh_expires_in\":",
        "\"error\":",
        "\"hunter2\"",
        "\"Bearer\"",
        "\"invalid_grant\"",
        "\"slow_down\"",
        "\"Not a code\"",
        "\"a,b\"",
        "\"error_description\":",
        "\"e30.eyJleHAiOjk5OTk5OTk5OTl9.x\"",
        "\"3599\"",
        "3.6e3",
        "\\ud800",
        "null",
        "-1",
        "1e400",
        "18446744073709551616",
        "0",
        "\"",
        "\\u0000",
        "\\/",
        "\u{feff}",
        "=",
        "\r\n",
        "\"tok\\u0065n\"",
    ];
    hold("token_answer", words, token_answer::check);
}

#[test]
fn a_challenge_means_the_same_in_any_case_and_order() {
    let words = &[
        "Bearer",
        "bearer",
        "BEARER",
        "Basic",
        "DPoP",
        "Negotiate",
        "realm=\"a\"",
        "error=",
        "\"insufficient_scope\"",
        "insufficient_scope",
        "\"invalid_token\"",
        "scope=\"a\"",
        ", ",
        ",",
        " ",
        "\n",
        "=",
        "\"",
        "\\",
        "\t",
        "==",
        "error = ",
    ];
    hold("challenge", words, challenge::check);
}

#[test]
fn a_pause_that_a_server_asks_for_has_an_end() {
    let words = &[
        "0",
        "1",
        "7",
        "99",
        "18446744073709551616",
        "-",
        "+",
        ".",
        " ",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Sat, 29 Feb 2064 00:00:60 GMT",
        "GMT",
        ":",
        ",",
    ];
    hold("retry_after", words, retry_after::check);
}

const ORIGIN_WORDS: &[&str] = &[
    "https://",
    "http://",
    "HTTPS://",
    "api.example.com",
    "API.example.com",
    "evil.test",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "[0:0::1]",
    "xn--bcher-kva",
    "b\u{fc}cher",
    ":443",
    ":80",
    ":0443",
    ":",
    ":0",
    ":+443",
    ":65536",
    "@",
    "user:pw@",
    "/",
    "\\",
    "?",
    "#",
    "%2e",
    ".",
    "\n",
    "%",
    "\u{3002}",
    "0x7f.1",
];

#[test]
fn a_token_goes_to_the_origin_that_was_named_and_nowhere_else() {
    hold("origins", ORIGIN_WORDS, origins::check);
}

#[cfg(feature = "reqwest")]
#[test]
fn with_reqwest_a_token_goes_nowhere_else_either() {
    hold("origins", ORIGIN_WORDS, urls::check);
}

#[test]
fn whatever_an_endpoint_sends_callers_get_a_token_or_an_error_in_time() {
    let words = &[
        "\u{1e}",
        "\u{1f}",
        "x",
        "b",
        "s",
        "HTTP/1.1 ",
        "200 OK\r\n",
        "400 Bad Request\r\n",
        "503 \r\n",
        "307 \r\n",
        "Location: ",
        "/b\r\n",
        "//evil.test/\r\n",
        "Content-Length: 40\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Retry-After: 5\r\n",
        "\r\n",
        "\r\n\r\n",
        "{\"access_token\":\"t0ken\"}",
        "{\"access_token\":\"t1\",\"refresh_token\":\"r1\",\"expires_in\":5}",
        "{\"error\":\"invalid_grant\"}",
        "\"expires_in\":0",
        "hunter2",
        "28\r\n",
        "0\r\n\r\n",
    ];
    hold("exchange", words, exchange::check);
}
