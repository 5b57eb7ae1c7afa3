//! Wires the sample API to the Lambda service.

use std::process::ExitCode;

use deadlines::handler::{Request, Response, handle};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::log::{self, Chain};
use runtime::{clock, settings::Variables};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::start(&Variables::of_process(), &[]);
    match lambda_runtime::run(service_fn(answer)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %Chain(error.as_ref()), "the sample API ends");
            ExitCode::FAILURE
        }
    }
}

async fn answer(event: LambdaEvent<Request>) -> Result<Response, Error> {
    Ok(handle(&event.payload, clock::now()))
}
