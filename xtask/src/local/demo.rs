//! The demo's upstream: the example shop, as a daemon on this machine.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use stacks::environment::Environment;

use super::probe::{get, tail};
use super::process::ProcessRecord;
use super::state::State;
use super::tools::Tools;
use super::{Local, address, free_port};
use crate::output::Output;
use crate::stop::Stop;

/// The example that serves, relative to the repository.
const SERVER: &str = "stacks/examples/shop/server.py";
/// Its description.
const DOCUMENT: &str = "stacks/examples/shop/openapi.yaml";
const START: Duration = Duration::from_secs(10);
const HEALTH: Duration = Duration::from_secs(3);
const STOP: Duration = Duration::from_secs(5);

/// The shop's process.
pub(crate) struct Demo;

impl Demo {
    /// The same environment before the shop on `port`.
    pub(crate) fn before(
        environment: Environment,
        root: &Path,
        port: u16,
    ) -> anyhow::Result<Environment> {
        let shop = environment.before(&address(port), &root.join(DOCUMENT));
        Ok(shop.map_err(|message| {
            Stop::usage(format!(
                "`--demo` cannot deploy this environment: {message}"
            ))
        })?)
    }

    /// The port of the shop: its last one if it is free or the shop's own, otherwise a free one.
    pub(crate) fn port(state: &State) -> anyhow::Result<u16> {
        match state.demo.as_ref().filter(|record| record.is_alive()) {
            Some(record) => Ok(record.port),
            None => free_port(state.demo.as_ref().map(|record| record.port)),
        }
    }

    /// A running shop on `port`, recorded from its first moment.
    pub(crate) async fn ensure(
        local: &Local,
        root: &Path,
        tools: &Tools,
        port: u16,
        out: Output,
    ) -> anyhow::Result<()> {
        let mut state = local.state()?;
        let server = root.join(SERVER);
        let text = std::fs::read_to_string(&server)
            .with_context(|| format!("reading `{}`", server.display()))?;
        let settings = domain::key::hash(&text);
        if let Some(record) = &state.demo
            && record.port == port
            && record.settings == settings
            && record.is_alive()
            && healthy(port).await
        {
            return Ok(());
        }
        Self::stop(local, &mut state).await?;
        out.step("starting the demo's API");
        let log = local.logs_dir().join("demo.log");
        let opened = File::create(&log).and_then(|out| Ok((out.try_clone()?, out)));
        let (stdout, stderr) = opened.with_context(|| format!("writing `{}`", log.display()))?;
        let mut child = Command::new(tools.python())
            .arg(&server)
            .arg(port.to_string())
            .env(MARK, local.dir())
            // Ctrl-C in the terminal ends the command, not what it leaves running.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .context("starting the demo's API")?;
        state.demo = ProcessRecord::of(child.id(), port, settings);
        local.save(&state)?;
        let until = tokio::time::Instant::now() + START;
        while !healthy(port).await {
            let ended = child.try_wait().context("watching the demo's API")?;
            if ended.is_some() || tokio::time::Instant::now() >= until {
                Self::stop(local, &mut state).await?;
                return Err(Stop::failed("the demo's API does not answer")
                    .hint(format!(
                        "the end of its log `{}`:\n{}",
                        log.display(),
                        tail(&log)
                    ))
                    .into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Ends the shop, recorded or not, and forgets it.
    pub(crate) async fn stop(local: &Local, state: &mut State) -> anyhow::Result<()> {
        Self::end(local, state).await;
        if state.demo.take().is_some() {
            local.save(state)?;
        }
        Ok(())
    }

    /// Ends the shop, recorded or not.
    pub(crate) async fn end(local: &Local, state: &State) {
        if let Some(record) = &state.demo {
            record.stop(STOP).await;
        }
        for unrecorded in ProcessRecord::told(&mark(local)) {
            unrecorded.stop(STOP).await;
        }
    }
}

/// The variable by which the shop of a local environment is known.
const MARK: &str = "DEMO_OF";

fn mark(local: &Local) -> String {
    format!("{MARK}={}", local.dir().display())
}

async fn healthy(port: u16) -> bool {
    get(&format!("{}/health", address(port)), HEALTH)
        .await
        .is_some()
}
