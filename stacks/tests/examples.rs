//! The worked example says what it should, and stays short.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_worked_example_synthesises_in_under_sixty_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(folder.join("examples/worker.rs")).unwrap();
    assert!(text.lines().count() < 60);

    let cargo = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--offline",
            "--package",
            "stacks",
            "--example",
            "worker",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        cargo.status.success(),
        "{}",
        String::from_utf8_lossy(&cargo.stderr)
    );
    let template = String::from_utf8(cargo.stdout).unwrap();
    for expected in [
        "\"OrdersFailed\"",
        "sqs:ReceiveMessage",
        "\"maxReceiveCount\": 5",
    ] {
        assert!(
            template.contains(expected),
            "`{expected}` is not in {template}"
        );
    }
}
