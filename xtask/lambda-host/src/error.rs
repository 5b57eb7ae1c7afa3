//! What stops the host. What goes wrong with one function or one mapping is not here: that is
//! logged, reported to the caller and retried.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::emulator::EmulatorError;

/// Why the host could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A file or folder of the host could not be used.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The settings are not what [`HostConfig`](crate::HostConfig) describes.
    #[error("the host's settings in `{}` cannot be used", path.display())]
    Config {
        /// The settings file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// The port is taken, or may not be bound.
    #[error("cannot listen on 127.0.0.1 port `{port}`")]
    Listen {
        /// The port asked for.
        port: u16,
        /// The system's answer.
        source: io::Error,
    },
    /// The local AWS did not answer, or refused.
    #[error("cannot read what is deployed")]
    Emulator(#[from] EmulatorError),
    /// A function's code could not be unpacked.
    #[error("the code of function `{function}` is not a zip archive that can be unpacked")]
    Code {
        /// The function.
        function: String,
        /// What is wrong with the archive.
        source: zip::result::ZipError,
    },
}

impl HostError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        cause = error.source();
    }
    chain
}
