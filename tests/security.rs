//! Each line of `SECURITY.md` promises a test: each of these tests exists.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../SECURITY.md");

#[test]
fn each_line_of_the_threat_model_names_a_test_that_is_there() {
    let mut promises = 0;
    for line in PAGE.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 4, "{line}");
        if cells[0].trim() == "who" {
            continue;
        }
        let tests: Vec<_> = cells[3].split("[`").skip(1).collect();
        assert!(!tests.is_empty(), "no test is named: {line}");
        for test in tests {
            let (name, rest) = test.split_once("`](").expect("a name and a file");
            let (file, _) = rest.split_once(')').expect("a file");
            assert!(is_test(file, name), "there is no test {name} in {file}");
        }
        promises += 1;
    }
    assert!(promises > 20, "{promises} lines");
}

/// Whether the file has a test of that name. `tests/memory` has no harness, so
/// no attribute.
fn is_test(file: &str, name: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let source = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line
            .strip_prefix("fn ")
            .and_then(|line| line.strip_prefix(name));
        // A property has arguments.
        rest.is_some_and(|rest| rest.starts_with('('))
    });
    at.is_some_and(|at| {
        let attributes = lines[..at]
            .iter()
            .rev()
            .take_while(|line| line.starts_with("#["));
        let is_test =
            |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        file.starts_with("tests/memory/") || attributes.collect::<Vec<_>>().into_iter().any(is_test)
    })
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    let file = "tests/security.rs";
    assert!(is_test(file, "a_test_that_is_not_there_is_missed"));
    assert!(!is_test(file, "a_test_that_is_not_there"));
    // There, and no test.
    assert!(!is_test("tests/memory/runs.rs", "in_process_"));
    assert!(!is_test("tests/hostile/pipe.rs", "connected"));
}
