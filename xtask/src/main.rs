//! The commands of this repository: `cargo xtask VERB`.
//!
//! One module per verb. Verbs decide and communicate; `deployer` does the work on AWS, `stacks`
//! determines what is deployed, and `lambda-host` runs functions on this machine.
#![allow(
    clippy::large_futures,
    reason = "a process runs one verb, whose future holds the whole environment file"
)]

mod audit;
mod aws;
mod cli;
mod clock;
mod consent;
mod context;
mod dashboard;
mod delivery;
mod duration;
mod functions;
mod interrupt;
mod jobs;
mod local;
mod options;
mod output;
mod reference;
mod stop;
mod verbs;

use std::process::ExitCode;
use std::time::Duration;

use cli::{Cli, Verb};
use context::Context;
use futures_util::FutureExt as _;
use interrupt::interruption;
use stop::Exit;

fn main() -> ExitCode {
    let cli = Cli::read();
    if let Verb::Host(args) = &cli.verb {
        return verbs::host::run(args);
    }
    let context = Context::new(&cli.global);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            context.out.failure(&error.into());
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(supervise(&context, cli.verb));
    // An interrupt does not wait for anything that blocks, such as another command's lock.
    runtime.shutdown_background();
    exit.into()
}

/// Runs the verb until it ends or is interrupted. Dropping it stops the programs it runs; the next
/// run picks up everything that was under way on AWS.
async fn supervise(context: &Context, verb: Verb) -> Exit {
    let mut interrupted = std::pin::pin!(interruption().fuse());
    let mut running = std::pin::pin!(cli::run(context, verb));
    let mut ended = tokio::select! {
        biased;
        () = &mut interrupted => None,
        ended = &mut running => Some(ended),
    };
    if ended.is_none() && interrupt::answers_a_question() {
        // A second interrupt does not wait for what the verb still removes.
        ended = tokio::select! {
            biased;
            () = interruption() => None,
            ended = &mut running => Some(ended),
        };
    }
    let error = match ended {
        Some(Ok(exit)) => return exit,
        Some(Err(error)) => Some(error).filter(|error| stop::exit_of(error) != Exit::Interrupted),
        None => None,
    };
    let Some(error) = error else {
        context.out.interrupted();
        return Exit::Interrupted;
    };
    // An interrupt also ends the program that the verb waited for, and that may have been noticed
    // first.
    let late = tokio::time::timeout(Duration::from_millis(100), interrupted).await;
    if late.is_ok() {
        context.out.interrupted();
        return Exit::Interrupted;
    }
    context.out.failure(&error);
    stop::exit_of(&error)
}
