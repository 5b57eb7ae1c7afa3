//! The pinned tools: the embedded AWS and cargo-lambda, in their own virtual environment.

use std::path::PathBuf;

use super::python::Python;
use super::suites::SUITES;
use super::venv::Venv;
use super::zig::ZIG;
use crate::context::Context;

const REQUIREMENTS: &str = "xtask/tools/requirements.txt";

/// The installed tools.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    venv: Venv,
}

impl Tools {
    /// Installs the tools unless they are installed.
    pub(crate) async fn ensure(context: &Context) -> anyhow::Result<Self> {
        // Even if they are installed: a named Python that does not run is a mistake.
        Python::find().await?;
        let venv = Venv::of(context, "", REQUIREMENTS, &[])?;
        let _lock = venv.lock().await?;
        if !venv.is_installed("import ministack").await {
            context
                .out
                .step("installing the embedded AWS and cargo-lambda under `target/tools`");
            venv.install(context).await?;
            venv.finish()?;
        }
        Ok(Self { venv })
    }

    /// The Python that has the embedded AWS.
    pub(crate) fn python(&self) -> PathBuf {
        self.venv.python()
    }

    pub(crate) fn cargo_lambda(&self) -> PathBuf {
        self.bin().join("cargo-lambda")
    }

    /// The folder of the tools' programs.
    pub(crate) fn bin(&self) -> PathBuf {
        self.venv.bin()
    }

    /// Removes tools of other versions, which nothing uses any more.
    pub(crate) fn remove_others(&self) {
        let own = self.venv.dir();
        let all = own.parent().and_then(|all| std::fs::read_dir(all).ok());
        for other in all.into_iter().flatten().flatten() {
            let name = other.file_name();
            let name = name.to_string_lossy();
            let of_others = [SUITES, ZIG].iter().any(|prefix| name.starts_with(prefix));
            if other.path() != own && !of_others {
                // They may stay if they cannot be removed: they only take disk space.
                let _left = std::fs::remove_dir_all(other.path());
            }
        }
    }
}
