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
    let mut interrupted = std::pin::pin!(interruption());
    let ended = tokio::select! {
        biased;
        () = &mut interrupted => None,
        ended = cli::run(context, verb) => Some(ended),
    };
    match ended {
        None => {
            context.out.interrupted();
            Exit::Interrupted
        }
        Some(Ok(exit)) => exit,
        Some(Err(error)) => {
            // An interrupt also ends the program that the verb waited for, and that may have been
            // noticed first.
            let late = tokio::time::timeout(Duration::from_millis(100), interrupted).await;
            if late.is_ok() {
                context.out.interrupted();
                return Exit::Interrupted;
            }
            context.out.failure(&error);
            stop::exit_of(&error)
        }
    }
}

/// Ends when the user presses Ctrl-C, or something asks the process to end.
async fn interruption() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
