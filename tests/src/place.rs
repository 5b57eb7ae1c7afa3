//! Runs the command line in an isolated place.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The program, rebuilt if the sources have changed.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            // As `cargo xtask` does: with the features of the whole workspace.
            .args(["build", "--quiet", "--bin", "xtask"])
            .current_dir(crate::synthesised::root())
            .status()
            .unwrap();
        assert!(built.success());
        // A test is `{target}/{profile}/deps/cli-…`; the program is in `{target}/{profile}`.
        let this = std::env::current_exe().unwrap();
        this.parent().unwrap().parent().unwrap().join("xtask")
    })
}

/// An isolated place for a local environment, separate from the developer's.
pub struct Place {
    dir: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// The result of a command.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Place {
    /// An empty place.
    #[allow(clippy::new_without_default, reason = "a place is made, not assumed")]
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// Adds a variable to the command's environment.
    #[must_use]
    pub fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }

    /// Sets a variable of the command's environment from now on.
    pub fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.variables.retain(|(name, _)| *name != variable);
        self.variables.push((variable, value.into()));
    }

    /// The folder of the place.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Uses its own environment files instead of the repository's; the file is `custom.yaml`.
    #[must_use]
    pub fn with_environment(self, yaml: &str) -> Self {
        std::fs::write(self.dir.path().join("custom.yaml"), yaml).unwrap();
        let folder = self.dir.path().display().to_string();
        self.with("XTASK_ENVIRONMENTS_DIR", folder)
    }

    /// Uses its own environment files instead of the repository's; the file is `local.yaml`.
    #[must_use]
    pub fn with_local(self, yaml: &str) -> Self {
        std::fs::write(self.dir.path().join("local.yaml"), yaml).unwrap();
        let folder = self.dir.path().display().to_string();
        self.with("XTASK_ENVIRONMENTS_DIR", folder)
    }

    /// The program with these arguments, without a terminal.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(program());
        command
            .args(args.split_ascii_whitespace())
            .env_remove("ENABLE_KINESIS_ANALYTICS")
            .env("XTASK_LOCAL_DIR", self.dir.path().join("local"))
            .env("XTASK_ASSEMBLY_DIR", self.dir.path().join("cdk.out"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &str) -> Ended {
        self.command(args).output().unwrap().into()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// Expects an error: this exit code, an empty stdout, and these words on stderr.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        assert!(self.stderr.contains("error:"), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in {self:#?}");
        }
        assert!(
            !self.stderr.contains('\u{1b}'),
            "colours without a terminal"
        );
    }
}
