//! The local environment: its folder, its processes, its keys.
//!
//! Everything it leaves on this machine is in one folder (`target/local`) and in the processes that
//! the folder's `state.json` lists.

mod demo;
mod emulator;
pub(crate) mod host;
mod lock;
mod pip;
mod ports;
mod probe;
mod process;
mod python;
mod state;
mod suites;
mod token;
mod tools;
mod venv;
mod zig;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub(crate) use demo::Demo;
pub(crate) use emulator::Emulator;
pub(crate) use host::HostProcess;
pub(crate) use lock::Lock;
pub(crate) use ports::{free_port, taken_by};
pub(crate) use process::ProcessRecord;
pub(crate) use state::{DemoKey, State};
pub(crate) use suites::SuiteTools;
pub(crate) use token::{Claims, SigningKey};
pub(crate) use tools::Tools;
pub(crate) use zig::Zig;

/// The local environment's folder.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    dir: PathBuf,
}

/// The processes of a running local environment.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) emulator_port: u16,
    pub(crate) host_port: u16,
}

impl Running {
    /// The embedded AWS.
    pub(crate) fn endpoint(&self) -> String {
        address(self.emulator_port)
    }

    /// The host of functions.
    pub(crate) fn host(&self) -> String {
        address(self.host_port)
    }

    /// The metered API.
    pub(crate) fn api_url(&self, environment: &str) -> String {
        format!("{}/{environment}", self.host())
    }
}

/// A URL that only this machine reaches.
pub(crate) fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

impl Local {
    pub(crate) const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The data that the embedded AWS keeps between runs.
    pub(crate) fn emulator_dir(&self) -> PathBuf {
        self.dir.join("aws")
    }

    /// The data that the host keeps between runs.
    pub(crate) fn host_dir(&self) -> PathBuf {
        self.dir.join("host")
    }

    pub(crate) fn logs_dir(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub(crate) fn make(&self) -> anyhow::Result<()> {
        for dir in [
            self.dir.clone(),
            self.emulator_dir(),
            self.host_dir(),
            self.logs_dir(),
        ] {
            std::fs::create_dir_all(&dir)
                .with_context(|| format!("creating `{}`", dir.display()))?;
        }
        Ok(())
    }

    pub(crate) fn state(&self) -> anyhow::Result<State> {
        State::read(&self.dir.join("state.json"))
    }

    pub(crate) fn save(&self, state: &State) -> anyhow::Result<()> {
        state.write(&self.dir.join("state.json"))
    }

    /// The processes, if both are running and respond.
    pub(crate) async fn running(&self) -> anyhow::Result<Option<Running>> {
        let state = self.state()?;
        let (Some(emulator), Some(host)) = (&state.emulator, &state.host) else {
            return Ok(None);
        };
        let up = Emulator::answers(emulator).await && HostProcess::answers(host).await;
        Ok(up.then_some(Running {
            emulator_port: emulator.port,
            host_port: host.port,
        }))
    }
}
