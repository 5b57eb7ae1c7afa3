//! The pinned tools that suites run beside the command line.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;

use serde_json::Value;

use crate::place::Place;

/// The locations of the tools.
#[derive(Debug)]
pub struct Tools {
    /// Runs the embedded AWS: `-m ministack`.
    pub python: PathBuf,
    /// AWS's linter for templates.
    pub cfn_lint: PathBuf,
    /// Node.js.
    pub node: PathBuf,
    /// The CDK command line, a script for Node.js.
    pub cdk: PathBuf,
    /// A server with moto's DynamoDB.
    pub moto_server: PathBuf,
    /// A Kinesis, a script for Node.js that is started in its own folder.
    pub kinesis: PathBuf,
    /// A validator of `OpenAPI` documents.
    pub openapi_validator: PathBuf,
    /// A tester of APIs by their `OpenAPI` documents.
    pub api_tester: PathBuf,
    /// A parser of Terraform's language, which prints JSON.
    pub terraform_parser: PathBuf,
    /// A spell checker.
    pub typos: PathBuf,
    /// The npm packages.
    pub node_modules: PathBuf,
}

impl Tools {
    /// The tools, installed under `target/tools` if missing; `cargo xtask test` does that before
    /// any suite runs.
    pub fn ensure() -> Self {
        let ended = Place::new().run("tools --json");
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
        let path = |name: &str| answer.get(name).and_then(Value::as_str).unwrap().into();
        Self {
            python: path("python"),
            cfn_lint: path("cfnLint"),
            node: path("node"),
            cdk: path("cdk"),
            moto_server: path("motoServer"),
            kinesis: path("kinesis"),
            openapi_validator: path("openapiValidator"),
            api_tester: path("apiTester"),
            terraform_parser: path("terraformParser"),
            typos: path("typos"),
            node_modules: path("nodeModules"),
        }
    }
}
