//! The embedded AWS: MiniStack, on loopback, with its own process environment.
//!
//! Functions would inherit the emulator's environment, so it gets only what it needs. Its state is
//! written when it ends, and read when it starts.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use domain::names::{Function, Names};

use super::process::ProcessRecord;
use super::state::State;
use super::tools::Tools;
use super::{Local, address, ports};
use crate::output::Output;
use crate::stop::Stop;

/// The start timeout. Under a second is usual; a saved state takes longer.
const START: Duration = Duration::from_mins(1);
/// The timeout of a health check.
const HEALTH: Duration = Duration::from_secs(3);
/// The timeout for saving its state and ending.
const STOP: Duration = Duration::from_secs(30);

/// The variables that the emulator inherits from us.
const KEPT: [&str; 3] = ["PATH", "HOME", "LANG"];

/// The settings of the emulator.
#[derive(Debug)]
pub(crate) struct Emulator<'a> {
    pub(crate) local: &'a Local,
    pub(crate) tools: &'a Tools,
    pub(crate) region: &'a str,
    pub(crate) names: &'a Names,
    pub(crate) host_port: u16,
}

impl Emulator<'_> {
    /// Whether the recorded emulator is running and responds.
    pub(crate) async fn answers(record: &ProcessRecord) -> bool {
        record.is_alive() && healthy(record.port).await
    }

    /// Ends the emulators of a local environment, recorded or not. They save their state.
    pub(crate) async fn stop_all(local: &Local, record: Option<&ProcessRecord>) {
        if let Some(record) = record {
            Self::stop(record).await;
        }
        let state = local.emulator_dir().join("state");
        for unrecorded in ProcessRecord::told(&format!("STATE_DIR={}", state.display())) {
            Self::stop(&unrecorded).await;
        }
    }

    /// Ends the recorded emulator, which saves its state.
    async fn stop(record: &ProcessRecord) -> bool {
        record.stop(STOP).await
    }

    /// A running emulator with these settings: the recorded one if it is healthy, otherwise a new
    /// one, recorded from its first moment.
    pub(crate) async fn ensure(
        &self,
        state: &mut State,
        out: Output,
    ) -> anyhow::Result<ProcessRecord> {
        if let Some(record) = state.emulator.clone() {
            let same = record.settings == self.digest(record.port);
            if same && Self::answers(&record).await {
                return Ok(record);
            }
            out.detail(&why_replaced(&record, same));
            let was_alive = record.is_alive();
            if !Self::stop(&record).await && was_alive {
                out.warning("the embedded AWS had to be killed: its data since its start is lost");
            }
        }
        Self::stop_all(self.local, None).await;
        out.step("starting the embedded AWS");
        let port = ports::free_port(state.emulator_port)?;
        let (mut child, log) = self.spawn(port)?;
        let record = ProcessRecord::of(child.id(), port, self.digest(port));
        state.emulator.clone_from(&record);
        state.emulator_port = Some(port);
        self.local.save(state)?;
        wait_until_healthy(&mut child, port, &log).await?;
        record.with_context(|| ended(&log, "ended at once"))
    }

    /// Starts the process and returns the path of its log.
    fn spawn(&self, port: u16) -> anyhow::Result<(Child, PathBuf)> {
        let log = self.local.logs_dir().join("aws.log");
        let opened = File::create(&log).and_then(|out| Ok((out.try_clone()?, out)));
        let (stdout, stderr) = opened.with_context(|| format!("writing `{}`", log.display()))?;
        for folder in ["tmp", "state", "s3"] {
            let folder = self.local.emulator_dir().join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("creating `{}`", folder.display()))?;
        }
        let kept = KEPT
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = Command::new(self.tools.python())
            .args(["-m", "ministack"])
            .current_dir(self.local.dir())
            .env_clear()
            .envs(kept)
            .envs(self.settings(port))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .context("starting the embedded AWS")?;
        Ok((child, log))
    }

    /// Identifies the settings and tools with which an emulator was started.
    fn digest(&self, port: u16) -> String {
        let tools = self.tools.python().display().to_string();
        let mut settings = self.settings(port);
        settings.insert("tools".to_owned(), tools);
        digest(&settings)
    }

    /// MiniStack's own settings.
    fn settings(&self, port: u16) -> BTreeMap<String, String> {
        let dir = self.local.emulator_dir();
        let path = |name: &str| dir.join(name).display().to_string();
        let fixed = [
            ("BIND_HOST", "127.0.0.1".to_owned()),
            ("GATEWAY_PORT", port.to_string()),
            ("AWS_ENDPOINT_URL", address(port)),
            ("MINISTACK_REGION", self.region.to_owned()),
            ("PERSIST_STATE", "1".to_owned()),
            ("STATE_DIR", path("state")),
            ("S3_PERSIST", "1".to_owned()),
            ("S3_DATA_DIR", path("s3")),
            ("TMPDIR", path("tmp")),
            ("LOG_LEVEL", "WARNING".to_owned()),
            // Listeners on separate ports, for services that nothing here uses.
            ("IOT_MTLS_ENABLED", "0".to_owned()),
            ("SFTP_ENABLED", "0".to_owned()),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value));
        let host = address(self.host_port);
        let functions = Function::ALL.map(|function| {
            let name = self.names.function(function);
            (
                format!("MINISTACK_LAMBDA_PROXY_{name}"),
                format!("{host}/invoke/{name}"),
            )
        });
        fixed.into_iter().chain(functions).collect()
    }
}

/// Waits until the process responds, and ends it if it does not.
async fn wait_until_healthy(child: &mut Child, port: u16, log: &Path) -> anyhow::Result<()> {
    let until = tokio::time::Instant::now() + START;
    loop {
        if let Some(status) = child.try_wait().context("watching the embedded AWS")? {
            return Err(ended(log, &format!("ended at once: {status}")).into());
        }
        if healthy(port).await {
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            child.kill().context("ending the embedded AWS")?;
            let seconds = START.as_secs();
            return Err(ended(log, &format!("did not answer within {seconds} s")).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn ended(log: &Path, how: &str) -> Stop {
    Stop::failed(format!("the embedded AWS {how}")).hint(format!(
        "the end of its log `{}`:\n{}",
        log.display(),
        super::probe::tail(log)
    ))
}

fn why_replaced(record: &ProcessRecord, same_settings: bool) -> String {
    let pid = record.pid;
    match (record.is_alive(), same_settings) {
        (false, _) => format!(
            "the embedded AWS of an earlier run (process {pid}) has ended; starting it from what it last saved"
        ),
        (true, true) => format!(
            "the embedded AWS of an earlier run (process {pid}) does not answer; replacing it"
        ),
        (true, false) => "the settings of the embedded AWS changed; restarting it".to_owned(),
    }
}

fn digest(settings: &BTreeMap<String, String>) -> String {
    let lines: Vec<_> = settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    domain::key::hash(&lines.join("\n"))
}

async fn healthy(port: u16) -> bool {
    super::probe::get(&format!("{}/_ministack/health", address(port)), HEALTH)
        .await
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_setting_is_another_digest() {
        let one = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let two = BTreeMap::from([("A".to_owned(), "2".to_owned())]);
        assert_eq!(digest(&one), digest(&one.clone()));
        assert_ne!(digest(&one), digest(&two));
    }
}
