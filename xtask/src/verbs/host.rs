//! `host`: the function host as a separate process. `deploy` starts it, `destroy` ends it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use lambda_host::HostConfig;

use crate::output::Output;
use crate::stop::Exit;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The host's settings
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

pub(crate) fn run(args: &Arguments) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match serve(args) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            Output::new(false, false).failure(&error);
            Exit::Failed.into()
        }
    }
}

fn serve(args: &Arguments) -> anyhow::Result<()> {
    // It does not matter if the process already leads a session, as under some supervisors.
    let _session = nix::unistd::setsid();
    let config = HostConfig::read(&args.config)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(lambda_host::serve(config))?;
    Ok(())
}
