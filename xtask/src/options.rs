//! Options that verbs share.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use stacks::environment::{Architecture, Environment};

use crate::context::is_embedded;
use crate::stop::Stop;

/// Whether to look at what is really there.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct DriftOption {
    /// Compare with what is really there, not with the last deploy, and change back what was changed
    /// outside the stacks; not on the embedded AWS
    #[arg(long)]
    pub(crate) revert_drift: bool,
}

impl DriftOption {
    /// Refuses an embedded AWS, which would ignore the wish.
    pub(crate) fn check(self, environment: &Environment) -> Result<(), Stop> {
        if !self.revert_drift || !is_embedded(environment) {
            return Ok(());
        }
        Err(
            Stop::usage("`--revert-drift` needs an environment on AWS: the embedded AWS does not compare a stack with its resources")
                .hint("`cargo xtask verify` compares what runs locally with the environment file"),
        )
    }
}

/// Options of every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The environment: a file in `stacks/environments`, without `.yaml`
    #[arg(long, global = true, value_name = "NAME", default_value = "local")]
    pub(crate) env: String,
    /// One JSON document on stdout, nothing else
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Folder of the local environment, so that two can run side by side
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_LOCAL_DIR",
        hide_env_values = true,
        help_heading = "Local"
    )]
    pub(crate) local_dir: Option<PathBuf>,
    /// Folder of the environment files, if it is elsewhere
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_ENVIRONMENTS_DIR",
        hide = true
    )]
    pub(crate) environments_dir: Option<PathBuf>,
    /// Folder of the functions' workspace, for tests that change it
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_FUNCTIONS_DIR",
        hide = true
    )]
    pub(crate) functions_dir: Option<PathBuf>,
    /// Folder of the assembly that `deploy` deploys, for tests that deploy side by side
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_ASSEMBLY_DIR",
        hide = true
    )]
    pub(crate) assembly_dir: Option<PathBuf>,
    /// URL at which the function host reaches the embedded AWS, for tests with a proxy in between
    #[arg(
        long,
        global = true,
        value_name = "URL",
        hide = true,
        env = "XTASK_HOST_AWS_ENDPOINT"
    )]
    pub(crate) host_aws_endpoint: Option<String>,
    /// Use the functions as last built; the tests build them once, before they run
    #[arg(long, global = true, hide = true, env = "XTASK_PREBUILT")]
    pub(crate) prebuilt: bool,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ArchOption {
    /// The processor architecture to build functions for and run them on; by default the
    /// environment file's `architecture`
    #[arg(long, value_name = "ARCH", value_parser = architecture())]
    pub(crate) arch: Option<Architecture>,
}

/// Reads one of Lambda's architectures.
fn architecture() -> impl TypedValueParser<Value = Architecture> {
    PossibleValuesParser::new(Architecture::ALL.map(Architecture::as_str))
        .try_map(|name| Architecture::parse(&name).ok_or("not an architecture of Lambda"))
}
