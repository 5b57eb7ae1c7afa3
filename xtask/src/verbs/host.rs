//! `host`: the function host as a separate process. `deploy` starts it, `destroy` ends it.

use std::process::ExitCode;

use lambda_host::HostConfig;

use crate::cli::Host;
use crate::output::Output;
use crate::stop::Exit;

pub(crate) fn run(args: &Host) -> ExitCode {
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

fn serve(args: &Host) -> anyhow::Result<()> {
    // It does not matter if the process already leads a session, as under some supervisors.
    let _session = nix::unistd::setsid();
    let config = HostConfig::read(&args.config)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(lambda_host::serve(config))?;
    Ok(())
}
