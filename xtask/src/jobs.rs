//! Runs other programs to their end. They end with this one: dropping the future kills them.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use nix::sys::statvfs::{Statvfs, statvfs};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::output::Output;
use crate::stop::Stop;

/// A program to run.
#[derive(Debug)]
pub(crate) struct Job {
    command: Command,
    name: String,
}

/// Prefixes of the variables in which cargo describes a program to itself. A cargo started from
/// here must not see them: build scripts would notice the change and run again.
const OF_THE_OUTER_CARGO: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "OUT_DIR"];

impl Job {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let name = std::path::Path::new(program)
            .file_name()
            .unwrap_or(program)
            .to_string_lossy()
            .into_owned();
        let mut command = Command::new(program);
        command.kill_on_drop(true).stdin(Stdio::null());
        for (variable, _) in std::env::vars_os() {
            let variable = variable.to_string_lossy();
            if OF_THE_OUTER_CARGO
                .iter()
                .any(|prefix| variable.starts_with(prefix))
            {
                command.env_remove(variable.as_ref());
            }
        }
        Self { command, name }
    }

    #[must_use]
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    #[must_use]
    pub(crate) fn current_dir(mut self, dir: &std::path::Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes the variables whose names start with `prefix`.
    #[must_use]
    pub(crate) fn without(mut self, prefix: &str) -> Self {
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with(prefix) {
                self.command.env_remove(variable);
            }
        }
        self
    }

    /// Runs it. Its output goes to stderr; with `--quiet` it is shown only if the program fails.
    pub(crate) async fn run(mut self, out: Output) -> anyhow::Result<()> {
        if out.is_quiet() {
            let output = self.command.output().await;
            let output = output.with_context(|| format!("running `{}`", self.name))?;
            if output.status.success() {
                return Ok(());
            }
            out.warning(&String::from_utf8_lossy(&output.stdout));
            out.warning(&String::from_utf8_lossy(&output.stderr));
            return Err(self.failed(output.status));
        }
        self.command.stdout(Stdio::from(std::io::stderr()));
        let status = self.command.status().await;
        let status = status.with_context(|| format!("running `{}`", self.name))?;
        if status.success() {
            Ok(())
        } else {
            Err(self.failed(status))
        }
    }

    /// Runs it with our stdout and returns its exit status.
    pub(crate) async fn run_in_place(mut self) -> anyhow::Result<std::process::ExitStatus> {
        let status = self.command.status().await;
        status.with_context(|| format!("running `{}`", self.name))
    }

    /// Runs it, passes on each line of its stdout, and returns its exit status.
    pub(crate) async fn each_line(
        mut self,
        mut take: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<std::process::ExitStatus> {
        let running = || format!("running `{}`", self.name);
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(running)?;
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(line) = lines.next_line().await.with_context(running)? {
                take(&line)?;
            }
        }
        child.wait().await.with_context(running)
    }

    /// Runs it and returns its output.
    pub(crate) async fn read(mut self) -> anyhow::Result<std::process::Output> {
        let output = self.command.output().await;
        output.with_context(|| format!("running `{}`", self.name))
    }

    /// The error of a program that failed. What it wrote went past us, so the disk is asked whether
    /// it is the reason.
    fn failed(&self, status: std::process::ExitStatus) -> anyhow::Error {
        let stop = Stop::failed(format!("`{}` failed: {status}", self.name));
        let folder = self.command.as_std().get_current_dir();
        let folder = folder.unwrap_or_else(|| Path::new("."));
        match statvfs(folder) {
            Ok(disk) if is_full(&Space::of(&disk)) => {
                anyhow::Error::from(io::Error::from(io::ErrorKind::StorageFull)).context(stop)
            }
            _ => stop.into(),
        }
    }
}

/// The free space of a disk.
struct Space {
    bytes: u64,
    /// Files that can still be made; `None` on a disk without such a limit.
    files: Option<u64>,
}

impl Space {
    fn of(disk: &Statvfs) -> Self {
        Self {
            bytes: disk.blocks_available().saturating_mul(disk.fragment_size()),
            files: (disk.files() > 0).then(|| disk.files_available()),
        }
    }
}

/// Space in which no build and no installation succeeds. A program that met the end of the disk may
/// have removed what it wrote last.
const LEAST_BYTES: u64 = 32 * 1024 * 1024;

fn is_full(space: &Space) -> bool {
    space.bytes < LEAST_BYTES || space.files == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_bytes_or_without_files_is_full() {
        let full = |bytes, files| is_full(&Space { bytes, files });
        assert!(full(0, None));
        assert!(full(LEAST_BYTES - 1, Some(1)));
        assert!(full(u64::MAX, Some(0)));
        assert!(!full(LEAST_BYTES, Some(1)));
        assert!(!full(LEAST_BYTES, None));
    }

    #[tokio::test]
    async fn a_program_that_fails_on_a_disk_with_space_is_not_blamed_on_the_disk() {
        let failed = Job::new("false").run(Output::new(false, true)).await;
        let error = failed.unwrap_err();
        assert!(error.to_string().starts_with("`false` failed"), "{error}");
        assert_eq!(crate::stop::hint_of(&error), None);
    }
}
