//! The same function binary and the same events give the same responses through this host and
//! through `cargo lambda watch`.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lambda_host::Outcome;
use serde_json::{Value, json};

use crate::{example, instances::Setup};

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn events() -> Vec<Value> {
    let long = "x".repeat(1_000_000);
    vec![
        json!({"id": "plain"}),
        json!({"id": "ünïcödé \u{1F600} \"quoted\" \\ \n"}),
        json!({"id": long}),
        json!({"do": "respond", "response": null}),
        json!({"do": "respond", "response": [1, 2.5, "three", {"four": [true, null]}]}),
        json!({"do": "respond", "response": {"statusCode": 200, "body": "{}"}}),
        json!({"do": "error"}),
        json!({"do": "panic"}),
        json!({"type": "REQUEST", "methodArn": "arn", "queryStringParameters": {"decide": "deny"}}),
        json!({"type": "REQUEST", "queryStringParameters": {"decide": "unauthorized"}}),
        json!({"Records": [{"kinesis": {"sequenceNumber": "7", "data": "eyJmYWlsIjp0cnVlfQ=="}}]}),
        json!({"id": "after errors"}),
    ]
}

/// The commands' installation of cargo-lambda; installed if missing.
fn cargo_lambda() -> PathBuf {
    let asked = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--bin", "xtask", "--", "tools", "--json"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(asked.status.success(), "{asked:?}");
    let answer: Value = serde_json::from_slice(&asked.stdout).unwrap();
    answer["cargoLambda"].as_str().unwrap().into()
}

#[tokio::test]
async fn responses_are_those_of_cargo_lambda_watch() {
    let setup = Setup::new();
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let _watch = watch(&setup, port).await;
    let _function = function(port);
    let functions = setup.start();
    for event in events() {
        let there = through_watch(port, &event).await;
        let here = setup.call(&functions, event.clone()).await;
        assert_eq!(comparable(here), there, "{event}");
    }
    functions.shut_down().await;
}

async fn watch(setup: &Setup, port: u16) -> Ends {
    let package = setup.file("package");
    fs::create_dir(&package).unwrap();
    let manifest = "[package]\nname = \"probe\"\nversion = \"0.1.0\"\n[[bin]]\nname = \"probe\"\npath = \"main.rs\"\n[workspace]\n";
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::write(package.join("main.rs"), "fn main() {}\n").unwrap();
    let child = Command::new(cargo_lambda())
        .args([
            "lambda",
            "watch",
            "--only-lambda-apis",
            "--invoke-address",
            "127.0.0.1",
        ])
        .args(["--invoke-port", &port.to_string()])
        .current_dir(package)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_err()
    {
        assert!(
            Instant::now() < until,
            "`cargo lambda watch` does not answer"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ends(child)
}

fn function(port: u16) -> Ends {
    let child = Command::new(example("probe"))
        .env_clear()
        .env(
            "AWS_LAMBDA_RUNTIME_API",
            format!("http://127.0.0.1:{port}/.rt/probe"),
        )
        .env("AWS_LAMBDA_FUNCTION_NAME", "probe")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "group")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Ends(child.unwrap())
}

/// Whether the function failed, and its response.
async fn through_watch(port: u16, event: &Value) -> (bool, Value) {
    let url = format!("http://127.0.0.1:{port}/2015-03-31/functions/probe/invocations");
    let request = reqwest::Client::new().post(url).body(event.to_string());
    let response = request
        .timeout(Duration::from_secs(20))
        .send()
        .await
        .unwrap();
    let failed = !response.status().is_success();
    let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    (failed, without_pid(body))
}

fn comparable(outcome: Outcome) -> (bool, Value) {
    match outcome {
        Outcome::Success(body) => (false, without_pid(serde_json::from_slice(&body).unwrap())),
        Outcome::FunctionError(body) => (true, serde_json::from_slice(&body).unwrap()),
        other => panic!("not invoked: {other:?}"),
    }
}

fn without_pid(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.remove("pid");
    }
    body
}
