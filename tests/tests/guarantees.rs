//! `GUARANTEES.md` promises only what a test shows: each promise has its own id and names existing
//! tests.
//!
//! A promise is a row `| G7 | promise | tests |`. Its tests are a list such as
//! `` `path`: `name`, `name`; `path`: `name` ``.

use std::path::{Path, PathBuf};

/// Lines above a function that may hold its attributes and documentation.
const ABOVE: usize = 12;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// A promise.
struct Promise {
    id: String,
    /// Files, each with the name of a test in it.
    shown_by: Vec<(String, String)>,
}

fn promises(document: &str) -> Vec<Promise> {
    let rows = document.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            [id, .., tests] if line.starts_with('|') && is_id(id) => Some(Promise {
                id: (*id).to_owned(),
                shown_by: shown_by(tests),
            }),
            _ => None,
        }
    });
    rows.collect()
}

/// The header and the line below it are not promises.
fn is_id(cell: &str) -> bool {
    cell != "id" && !cell.starts_with('-')
}

fn shown_by(cell: &str) -> Vec<(String, String)> {
    let of_file = |list: &str| -> Vec<(String, String)> {
        let mut quoted = list.split('`').skip(1).step_by(2);
        let Some(file) = quoted.next() else {
            return Vec::new();
        };
        quoted
            .map(|name| (file.to_owned(), name.to_owned()))
            .collect()
    };
    cell.split(';').flat_map(of_file).collect()
}

/// Whether a source file contains a test of that name.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let starts = [format!("fn {name}("), format!("async fn {name}(")];
    let mut places = lines.iter().enumerate();
    places.any(|(place, line)| {
        let is_function = starts.iter().any(|start| line.starts_with(start.as_str()));
        let above = lines.iter().take(place).rev().take(ABOVE);
        let above = above.take_while(|line| line.starts_with('#') || line.starts_with("//"));
        is_function && above.into_iter().any(|line| is_test_attribute(line))
    })
}

fn is_test_attribute(line: &str) -> bool {
    line.starts_with("#[test]") || line.starts_with("#[tokio::test")
}

/// The errors in a document; `read` returns the text of a file if it exists.
fn wrong(document: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (place, Promise { id, shown_by }) in promises(document).iter().enumerate() {
        let expected = format!("G{}", place + 1);
        if *id != expected {
            wrong.push(format!("`{id}` should be `{expected}`"));
        }
        if shown_by.is_empty() {
            wrong.push(format!("{id} names no test"));
        }
        for (file, name) in shown_by {
            match read(file) {
                None => wrong.push(format!("{id}: `{file}` does not exist")),
                Some(source) if has_test(&source, name) => {}
                Some(_) => wrong.push(format!("{id}: `{file}` has no test `{name}`")),
            }
        }
    }
    wrong
}

#[test]
fn every_promise_has_an_id_of_its_own_and_names_tests_that_exist() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).ok();
    let document = read("GUARANTEES.md").unwrap();
    assert!(promises(&document).len() > 30, "the table is not found");
    let wrong = wrong(&document, read);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_wrong_with_a_promise_is_found() {
    let source = "\
        #[test]\n    fn it_holds() {\n}\n\
        #[tokio::test(start_paused = true)]\n#[ignore = \"takes minutes\"]\nasync fn it_lasts() {\n}\n\
        fn nothing_tests() {\n}\n";
    let read = |file: &str| (file == "a.rs").then(|| source.to_owned());
    let found = |rows: &[&str]| {
        let header = "| id | promise | shown by |\n|---|---|---|\n";
        wrong(&format!("{header}{}", rows.join("\n")), read)
    };
    let sound = [
        "| G1 | It holds. | `a.rs`: `it_holds`, `it_lasts` |",
        "| G2 | It lasts. | `a.rs`: `it_holds`; `a.rs`: `it_lasts` |",
    ];
    assert_eq!(found(&sound), [] as [&str; 0]);
    for (row, expected) in [
        ("| G1 | It holds. | |", "G1 names no test"),
        ("| G1 | It holds. | `a.rs` |", "G1 names no test"),
        ("| G1 | It holds. | surely |", "G1 names no test"),
        ("| G1 | It holds. |", "G1 names no test"),
        (
            "| G2 | It holds. | `a.rs`: `it_holds` |",
            "`G2` should be `G1`",
        ),
        (
            "| 1 | It holds. | `a.rs`: `it_holds` |",
            "`1` should be `G1`",
        ),
        (
            "| G1 | It holds. | `b.rs`: `it_holds` |",
            "G1: `b.rs` does not exist",
        ),
        (
            "| G1 | It holds. | `a.rs`: `nothing_tests` |",
            "G1: `a.rs` has no test `nothing_tests`",
        ),
        (
            "| G1 | It holds. | `a.rs`: `it_hold` |",
            "G1: `a.rs` has no test `it_hold`",
        ),
    ] {
        assert_eq!(found(&[row]), [expected]);
    }
    let twice = [sound[0], sound[0]];
    assert_eq!(found(&twice), ["`G1` should be `G2`"]);
}
