//! `FAULTS.md` states for every seeded fault what stops it, and lists nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::Path;

/// What stops a fault, by the name of its test.
type Stopped = BTreeMap<String, String>;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A file, or every file of a folder.
fn read_all(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let Ok(files) = std::fs::read_dir(folder) else {
        return read(path);
    };
    let files = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    files.collect()
}

/// The rows of the table, numbered consecutively.
fn table() -> Stopped {
    let document = read("FAULTS.md");
    let rows = document.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            [number, _, by, test] => Some((number.parse::<usize>().ok()?, *by, *test)),
            _ => None,
        }
    });
    let mut stopped = Stopped::new();
    for (index, (number, by, test)) in rows.enumerate() {
        assert_eq!(number, index + 1);
        let test = test.trim_matches('`').to_owned();
        let before = stopped.insert(test.clone(), by.to_owned());
        assert_eq!(before, None, "`{test}` is there twice");
    }
    stopped
}

/// The seeded faults of the tests, and what stops each of them.
fn seeded() -> Stopped {
    let mut stopped = Stopped::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if name.ends_with("rs") {
            stopped.insert(format!("compile_fail/{name}"), "compiler".to_owned());
        }
    }
    for (name, body) in tests_of(&read("tests/faults.rs")) {
        let by = match (body.contains("construction("), body.contains("synthesis(")) {
            (true, false) => "construction",
            (false, true) => "synthesis",
            _ if name == "what_is_right_is_not_refused" => continue,
            _ => panic!("`{name}` does not say who stops it"),
        };
        stopped.insert(name, by.to_owned());
    }
    stopped
}

#[test]
fn the_table_is_what_the_tests_seed() {
    let mut table = table();
    assert!(table.len() >= 25, "{} faults", table.len());
    for (by, file) in [
        ("environment file", "tests/environment"),
        ("cfn-lint", "../tests/tests/lint.rs"),
    ] {
        let tests: Vec<String> = tests_of(&read_all(file)).map(|(name, _)| name).collect();
        let (there, rest): (Stopped, Stopped) = table.into_iter().partition(|(_, who)| who == by);
        assert!(!there.is_empty(), "{by} stops nothing");
        for name in there.keys() {
            assert!(tests.contains(name), "`{name}` is not in `{file}`");
        }
        table = rest;
    }
    assert_eq!(table, seeded());
}

/// The functions under `#[test]`, with their bodies.
fn tests_of(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split("#[test]\nfn ")
        .skip(1)
        .filter_map(|rest| rest.split_once('('))
        .map(|(name, body)| (name.to_owned(), body.to_owned()))
}
