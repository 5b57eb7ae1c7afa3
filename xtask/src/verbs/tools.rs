//! `tools`: the locations of the tools of the test suites, installed if missing.

use std::path::PathBuf;

use serde::Serialize;

use crate::context::Context;
use crate::local::{SuiteTools, Tools};
use crate::stop::Exit;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InstalledTools {
    /// Runs the embedded AWS: `-m ministack`.
    python: PathBuf,
    cargo_lambda: PathBuf,
    cfn_lint: PathBuf,
    node: PathBuf,
    /// A script for `node`.
    cdk: PathBuf,
    moto_server: PathBuf,
    /// A script for `node`, started in its own folder.
    kinesis: PathBuf,
    openapi_validator: PathBuf,
    api_tester: PathBuf,
    terraform_parser: PathBuf,
    typos: PathBuf,
    node_modules: PathBuf,
}

pub(crate) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let tools = Tools::ensure(context).await?;
    let suites = SuiteTools::ensure(context).await?;
    let answer = InstalledTools {
        python: tools.python(),
        cargo_lambda: tools.cargo_lambda(),
        cfn_lint: suites.cfn_lint(),
        node: suites.node(),
        cdk: suites.cdk(),
        moto_server: suites.moto_server(),
        kinesis: suites.kinesis(),
        openapi_validator: suites.openapi_validator(),
        api_tester: suites.api_tester(),
        terraform_parser: suites.terraform_parser(),
        typos: suites.typos(),
        node_modules: suites.node_modules(),
    };
    context.out.answer(&answer, |answer| {
        let all = [
            &answer.python,
            &answer.cargo_lambda,
            &answer.cfn_lint,
            &answer.node,
            &answer.cdk,
            &answer.moto_server,
            &answer.kinesis,
            &answer.openapi_validator,
            &answer.api_tester,
            &answer.terraform_parser,
            &answer.typos,
            &answer.node_modules,
        ];
        all.map(|path| format!("{}\n", path.display())).concat()
    })?;
    Ok(Exit::Done)
}
