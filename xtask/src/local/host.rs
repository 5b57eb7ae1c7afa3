//! The host of functions: this program again, as a daemon.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use lambda_host::HostConfig;

use super::probe::{get, tail};
use super::process::ProcessRecord;
use super::state::State;
use super::{Local, address};
use crate::output::Output;
use crate::stop::Stop;

/// This program, even while a build is replacing its file.
const OWN_PROGRAM: &str = "/proc/self/exe";

const START: Duration = Duration::from_secs(30);
const HEALTH: Duration = Duration::from_secs(3);
/// How long ending its functions may take.
const STOP: Duration = Duration::from_secs(10);

/// The host's process.
pub(crate) struct HostProcess;

impl HostProcess {
    /// Whether the recorded host is running and responds.
    pub(crate) async fn answers(record: &ProcessRecord) -> bool {
        record.is_alive() && healthy(record.port).await
    }

    /// Ends the host, recorded or not, and every function process that it left behind.
    pub(crate) async fn stop(local: &Local, record: Option<&ProcessRecord>) -> anyhow::Result<()> {
        if let Some(record) = record {
            record.stop(STOP).await;
        }
        for unrecorded in ProcessRecord::told(&settings(local).display().to_string()) {
            unrecorded.stop(STOP).await;
        }
        lambda_host::reap(&local.host_dir()).context("ending what the function host left")?;
        Ok(())
    }

    /// A running host with these settings: the recorded one if it is healthy, otherwise a new one,
    /// recorded from its first moment.
    pub(crate) async fn ensure(
        local: &Local,
        state: &mut State,
        config: &HostConfig,
        out: Output,
    ) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(config).context("writing the host's settings")?;
        let settings = domain::key::hash(&format!("{text}{}", own_build()));
        if let Some(record) = &state.host
            && record.settings == settings
            && Self::answers(record).await
        {
            return Ok(());
        }
        Self::stop(local, state.host.as_ref()).await?;
        out.step("starting the function host");
        let file = self::settings(local);
        std::fs::write(&file, text).with_context(|| format!("writing `{}`", file.display()))?;
        let log = local.logs_dir().join("host.log");
        let mut child = spawn(local, &file, &log)?;
        state.host = ProcessRecord::of(child.id(), config.port, settings);
        local.save(state)?;
        wait_until_healthy(&mut child, config.port, &log).await
    }
}

/// The settings file that only the host of this local environment reads.
fn settings(local: &Local) -> PathBuf {
    local.dir().join("host.json")
}

fn spawn(local: &Local, config: &Path, log: &Path) -> anyhow::Result<Child> {
    let opened = File::create(log).and_then(|out| Ok((out.try_clone()?, out)));
    let (stdout, stderr) = opened.with_context(|| format!("writing `{}`", log.display()))?;
    Command::new(OWN_PROGRAM)
        .args(["host", "--config"])
        .arg(config)
        .current_dir(local.dir())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .context("starting the function host")
}

async fn wait_until_healthy(child: &mut Child, port: u16, log: &Path) -> anyhow::Result<()> {
    let until = tokio::time::Instant::now() + START;
    loop {
        if let Some(status) = child.try_wait().context("watching the function host")? {
            return Err(ended(log, &format!("ended at once: {status}")).into());
        }
        if healthy(port).await {
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            child.kill().context("ending the function host")?;
            return Err(ended(log, "did not answer in time").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn ended(log: &Path, how: &str) -> Stop {
    Stop::failed(format!("the function host {how}")).hint(format!(
        "the end of its log `{}`:\n{}",
        log.display(),
        tail(log)
    ))
}

async fn healthy(port: u16) -> bool {
    get(&format!("{}/_host/health", address(port)), HEALTH)
        .await
        .is_some()
}

/// The status that the host reports.
pub(crate) async fn status(host: &str) -> Option<serde_json::Value> {
    let text = get(&format!("{host}/_host/status"), Duration::from_secs(10)).await?;
    serde_json::from_str(&text).ok()
}

/// Identifies this build: a host from an older build is replaced.
fn own_build() -> String {
    let build = std::fs::metadata(OWN_PROGRAM)
        .and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
    build.map_or_else(|_| String::new(), |build| format!("{build:?}"))
}
