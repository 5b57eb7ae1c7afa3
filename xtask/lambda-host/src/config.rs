//! The host's settings.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::HostError;

/// The host's settings, a JSON file in camelCase. Everything about functions, mappings and stages
/// comes from the deployment, never from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostConfig {
    /// The environment to serve; also the first segment of the API's local path.
    pub environment: String,
    /// The region that functions see.
    pub region: String,
    /// Address of the local AWS, `http://127.0.0.1:PORT`.
    pub aws_endpoint: String,
    /// Loopback port of the one listener; 0 takes a free one.
    pub port: u16,
    /// Checkpoints, process records and unpacked code.
    pub state_dir: PathBuf,
    /// The folder of log files, one per function.
    pub log_dir: PathBuf,
    /// Whether an idle instance is stopped (`SIGSTOP`), as Lambda freezes environments.
    pub freeze: bool,
    /// Upper bound for the instances of one function. Further calls wait. The limit protects this
    /// machine; it is not the function's reserved concurrency, which throttles as on Lambda.
    pub concurrency: u16,
    /// Seconds after which an unused instance is shut down.
    pub idle_seconds: u64,
}

impl HostConfig {
    /// Reads the settings from a JSON file.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON, or has an unknown or missing member.
    pub fn read(path: &Path) -> Result<Self, HostError> {
        let bytes = std::fs::read(path).map_err(|source| HostError::io("read", path, source))?;
        serde_json::from_slice(&bytes).map_err(|source| HostError::Config {
            path: path.to_owned(),
            source,
        })
    }
}
