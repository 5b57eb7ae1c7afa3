//! The worked examples produce what they should, and stay short.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

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

/// The templates that an example prints, one after the other.
fn templates(example: &str) -> Vec<Value> {
    let text = printed(example);
    let templates = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    templates.map(Result::unwrap).collect()
}

/// The logical ids and properties of a stack's resources of a type.
fn of_type<'a>(template: &'a Value, kind: &str) -> Vec<&'a Value> {
    let resources = template["Resources"].as_object().unwrap().values();
    let of_type = resources.filter(|resource| resource["Type"] == kind);
    of_type.map(|resource| &resource["Properties"]).collect()
}

#[test]
fn another_project_declares_the_pipeline_itself() {
    let templates = templates("usage_pipeline");
    let [data, stream, gate, orders] = templates.as_slice() else {
        panic!("{} templates", templates.len());
    };
    let names = |template, kind, name: &str| -> Vec<String> {
        let found = of_type(template, kind).into_iter();
        let names = found.map(|properties| properties[name].as_str().unwrap().to_owned());
        names.collect()
    };
    let functions = |template| names(template, "AWS::Lambda::Function", "FunctionName");
    assert_eq!(
        functions(data),
        [
            "Orders-Data-live-Notifier",
            "Orders-Data-live-RealtimeAggregator"
        ]
    );
    assert_eq!(functions(stream), ["Orders-Kinesis-live-StreamProcessor"]);
    assert_eq!(
        functions(gate),
        [
            "Orders-API-live-ApiKeyAuthorizerFunction",
            "Orders-API-live-Reconciler"
        ]
    );
    assert_eq!(
        names(data, "AWS::DynamoDB::Table", "TableName"),
        [
            "orders-analytics-live",
            "orders-api-keys-live",
            "orders-api-usage-live"
        ]
    );
    assert_eq!(
        names(stream, "AWS::Kinesis::Stream", "Name"),
        ["orders-usage-stream-live"]
    );
    // The API calls this authorizer, and writes to this log.
    let text = orders.to_string();
    assert!(text.contains(":function:Orders-API-live-ApiKeyAuthorizerFunction"));
    let [log] = names(gate, "AWS::Logs::LogGroup", "LogGroupName")
        .into_iter()
        .filter(|name| name.starts_with("/aws/apigateway/"))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert!(text.contains(&format!("log-group:{log}")));
    let alarms: usize = [data, stream, gate]
        .map(|template| of_type(template, "AWS::CloudWatch::Alarm").len())
        .iter()
        .sum();
    assert!(alarms > 20, "{alarms}");
    for template in [data, stream, gate] {
        let text = template.to_string();
        assert!(
            !text.contains("Dashboard:") && !text.contains("CompliCal"),
            "{text}"
        );
    }
}
