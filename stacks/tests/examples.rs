//! The worked examples produce what they should, and stay short.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::Command;

/// The template that an example prints. Cargo has built it beside this test.
fn printed(example: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(folder.join(format!("examples/{example}.rs"))).unwrap();
    assert!(text.lines().count() < 70);
    let own = std::env::current_exe().unwrap();
    let built = own.ancestors().nth(2).unwrap().join("examples");
    let output = Command::new(built.join(example))
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", built.join(example).display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn prints(example: &str, expected: &[&str]) {
    let template = printed(example);
    for expected in expected {
        assert!(
            template.contains(expected),
            "`{expected}` is not in {template}"
        );
    }
}

#[test]
fn the_worked_example_synthesises() {
    prints(
        "worker",
        &[
            "\"OrdersFailed\"",
            "sqs:ReceiveMessage",
            "\"maxReceiveCount\": 5",
        ],
    );
}

#[test]
fn an_api_of_another_project_is_metered_by_an_environment() {
    prints(
        "own_api",
        &[
            "function:CompliCal-API-test-ApiKeyAuthorizerFunction",
            "\"AuthorizerResultTtlInSeconds\": 0",
            "log-group:/aws/apigateway/CompliCal-API-test/access",
            "$context.authorizer.eventId",
            "\"AuthorizationType\": \"CUSTOM\"",
            "\"AuthorizationType\": \"NONE\"",
        ],
    );
}
