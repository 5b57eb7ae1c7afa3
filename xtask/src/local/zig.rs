//! The pinned zig, which links functions for AWS against Lambda's C library. It is separate from
//! the other tools because it is large and only builds for AWS need it.

use std::path::PathBuf;

use super::python::Python;
use super::venv::Venv;
use crate::context::Context;

/// Prefix of its folder's name.
pub(super) const ZIG: &str = "zig-";
const REQUIREMENTS: &str = "xtask/tools/requirements-zig.txt";
/// Its size on disk, measured on Linux; the download is a fifth of it.
const SIZE: &str = "410 MB";

/// The installed zig.
#[derive(Debug, Clone)]
pub(crate) struct Zig {
    venv: Venv,
}

impl Zig {
    /// Installs zig unless it is installed.
    pub(crate) async fn ensure(context: &Context) -> anyhow::Result<Self> {
        Python::find().await?;
        let venv = Venv::of(context, ZIG, REQUIREMENTS, &[])?;
        let _lock = venv.lock().await?;
        if !venv.is_installed("import ziglang").await {
            context.out.step(&format!(
                "installing zig, which links functions for AWS, under `target/tools` ({SIZE}, once)"
            ));
            venv.install(context).await?;
            venv.finish()?;
        }
        Ok(Self { venv })
    }

    /// The Python with zig as a module.
    pub(crate) fn python(&self) -> PathBuf {
        self.venv.python()
    }
}
