//! A virtual environment that contains exactly what a file of pinned requirements names.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::pip::pip;
use super::python::Python;
use crate::context::Context;
use crate::jobs::Job;
use crate::stop::Stop;

/// Written last, with the list of what was installed: if it is missing or differs, everything is
/// installed again.
const MARKER: &str = "installed";

/// A virtual environment, installed or not.
#[derive(Debug, Clone)]
pub(super) struct Venv {
    dir: PathBuf,
    /// The path from the repository's folder.
    requirements: &'static str,
    /// Everything that identifies the environment, including the requirements.
    pinned: String,
}

impl Venv {
    /// The environment under `target/tools/{prefix}{digest}` for a file of requirements and for
    /// further files that determine its content. Other contents get another folder: something may
    /// still run from the previous one.
    pub(super) fn of(
        context: &Context,
        prefix: &str,
        requirements: &'static str,
        further: &[&str],
    ) -> anyhow::Result<Self> {
        let mut pinned = String::new();
        for file in std::iter::once(&requirements).chain(further) {
            let text = std::fs::read_to_string(context.root.join(file));
            pinned += &text.with_context(|| format!("reading `{file}`"))?;
        }
        let pinned = domain::key::hash(&pinned);
        let version: String = pinned.chars().take(12).collect();
        let dir = context
            .target()
            .join("tools")
            .join(format!("{prefix}{version}"));
        Ok(Self {
            dir,
            requirements,
            pinned,
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn python(&self) -> PathBuf {
        self.bin().join("python")
    }

    /// The folder of its programs.
    pub(super) fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// Keeps others from installing at the same time while it is held.
    pub(super) async fn lock(&self) -> anyhow::Result<File> {
        let path = self.dir.with_extension("lock");
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("creating `{}`", folder.display()))?;
        }
        let locking = || format!("locking `{}`", path.display());
        let file = File::create(&path).with_context(locking)?;
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
        locked.await.with_context(locking)?.with_context(locking)
    }

    /// Whether exactly these versions are installed, and their Python still runs.
    pub(super) async fn is_installed(&self, probe: &str) -> bool {
        let marked = std::fs::read_to_string(self.dir.join(MARKER));
        if marked.ok().as_ref() != Some(&self.pinned) {
            return false;
        }
        let run = Job::new(self.python()).args(["-c", probe]);
        run.read().await.is_ok_and(|output| output.status.success())
    }

    /// Creates it anew with the pinned requirements.
    pub(super) async fn install(&self, context: &Context) -> anyhow::Result<()> {
        let python = Python::find().await?;
        self.make(context, &python).await?;
        let requirements = self.requirements;
        let pip = pip(&self.python())
            .await?
            .args(["install", "--no-deps", "--require-hashes"])
            .args(["--no-input", "--disable-pip-version-check", "--requirement"])
            .args([context.root.join(requirements)]);
        pip.run(context.out).await.context(
            Stop::failed(format!(
                "the tools were not installed: `pip install --no-deps --require-hashes --requirement {requirements}` failed"
            ))
            .hint(format!(
                "pip's own settings hold (`PIP_INDEX_URL`, `PIP_PROXY`, `PIP_CERT`, `pip.conf`); without a network, \
                 run `pip download --no-deps --require-hashes --requirement {requirements} --dest DIR` where there is one, \
                 then here the same command again with `PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR`",
            )),
        )
    }

    /// Records that everything is installed.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        let marker = self.dir.join(MARKER);
        std::fs::write(&marker, &self.pinned)
            .with_context(|| format!("writing `{}`", marker.display()))
    }

    async fn make(&self, context: &Context, python: &Python) -> anyhow::Result<()> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing `{}`", self.dir.display()));
            }
            _ => {}
        }
        let made = Job::new(&python.program)
            .args(["-m", "venv"])
            .args([&self.dir])
            .run(context.out)
            .await;
        made.context(
            Stop::failed("no virtual environment could be made for the tools").hint(
                "Debian and Ubuntu ship `venv` apart: `apt-get install python3-venv`; or name another Python with `PYTHON`",
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    use crate::cli::Cli;
    use clap::Parser as _;

    #[tokio::test]
    async fn a_python_without_venv_is_reported_with_the_package_that_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("python3");
        std::fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let cli = Cli::try_parse_from(["xtask", "--quiet", "check"]).unwrap();
        let context = Context::new(&cli.global);
        let venv = Venv {
            dir: dir.path().join("tools"),
            requirements: "",
            pinned: String::new(),
        };
        let error = venv.make(&context, &Python { program }).await.unwrap_err();
        assert!(error.to_string().contains("virtual environment"), "{error}");
        let hint = crate::stop::hint_of(&error).unwrap();
        assert!(hint.contains("python3-venv"), "{hint}");
    }

    /// A Python that says how pip is configured, and otherwise records its variables and arguments.
    const RECORDING: &str = r#"#!/bin/sh
case "$*" in
*"config list"*)
  echo "global.index-url='https://one.example/simple'"
  echo "global.target='/somewhere'"
  echo ":env:.user='yes'"
  ;;
*) { env; echo "ran $*"; } >"$(dirname "$0")/recorded" ;;
esac
"#;

    #[tokio::test]
    async fn a_users_index_reaches_pip_and_a_users_place_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("python");
        std::fs::write(&program, RECORDING).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let job = pip(&program).await.unwrap().args(["install", "tool"]);
        job.run(crate::output::Output::new(false, true))
            .await
            .unwrap();
        let recorded = std::fs::read_to_string(dir.path().join("recorded")).unwrap();
        let pip: Vec<_> = recorded
            .lines()
            .filter(|line| line.starts_with("PIP_") || line.starts_with("ran "))
            .collect();
        assert_eq!(pip.len(), 3, "{recorded}");
        for line in [
            "PIP_CONFIG_FILE=/dev/null",
            "PIP_INDEX_URL=https://one.example/simple",
            "ran -m pip install tool",
        ] {
            assert!(pip.contains(&line), "no `{line}` in {recorded}");
        }
    }
}
