//! Errors that stop the host. Errors of one function or one mapping are not here: they are logged,
//! reported to the caller and retried.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::emulator::EmulatorError;

/// Why the host could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A file or folder of the host is unusable.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The settings do not match [`HostConfig`](crate::HostConfig).
    #[error("the host's settings in `{}` cannot be used", path.display())]
    Config {
        /// The settings file.
        path: PathBuf,
        /// Position and cause.
        source: serde_json::Error,
    },
    /// The port is in use, or binding it is not permitted.
    #[error("cannot listen on 127.0.0.1 port `{port}`")]
    Listen {
        /// The requested port.
        port: u16,
        /// The cause.
        source: io::Error,
    },
    /// The local AWS did not respond, or refused.
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
