//! Commands that do not succeed: exit codes and hints.

mod hints;

use std::process::ExitCode;
use std::{fmt, io};

/// How programs report a full disk.
const NO_SPACE: &str = "No space left on device";
const FULL_DISK: &str = "the disk is full: free some space, then run the command again; `cargo clean` deletes this project's builds and tools, which the commands make again";

/// All exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed; also if the command needs a deployment that does not exist.
    Failed = 1,
    /// Used or configured wrongly; also for an unknown stack, function or key.
    Usage = 2,
    /// There is an unexpected difference.
    Difference = 3,
    /// AWS refused.
    Refused = 4,
    /// Interrupted.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with a known exit code or remedy. It is added to a chain as context, or used on its
/// own.
#[derive(Debug)]
pub(crate) struct Stop {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Stop {
    /// The command was used or configured wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The command failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command failed, with this exit code.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what the user can do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Stop {}

/// The exit code of an error.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        stop.exit
    } else if error
        .downcast_ref::<deployer::Error>()
        .is_some_and(deployer::Error::is_refusal)
    {
        Exit::Refused
    } else {
        Exit::Failed
    }
}

/// What the user can do about an error.
pub(crate) fn hint_of(error: &anyhow::Error) -> Option<String> {
    if is_disk_full(error) {
        return Some(FULL_DISK.to_owned());
    }
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.hint.clone();
    }
    hints::of(error.downcast_ref::<deployer::Error>()?)
}

/// Whether this process, or a program that it ran, could not write because a disk is full.
fn is_disk_full(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::StorageFull)
            || cause.to_string().contains(NO_SPACE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    fn refusal(code: &str) -> anyhow::Error {
        deployer::Error::Refused {
            operation: "CreateChangeSet",
            code: code.into(),
            message: "no".into(),
        }
        .into()
    }

    #[test]
    fn a_full_disk_has_a_hint_wherever_it_was_met() {
        let own = anyhow::Error::from(io::Error::from(io::ErrorKind::StorageFull));
        let child = anyhow::anyhow!("pip: [Errno 28] No space left on device");
        for error in [own, child] {
            let error = error.context("installing the tools");
            assert_eq!(hint_of(&error).as_deref(), Some(FULL_DISK), "{error:?}");
        }
        let other = anyhow::Error::from(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(hint_of(&other), None);
    }

    #[test]
    fn the_exit_code_survives_context() {
        let usage: anyhow::Error = Stop::usage("bad").into();
        assert_eq!(exit_of(&usage.context("more")), Exit::Usage);
        assert_eq!(exit_of(&refusal("X").context("deploying")), Exit::Refused);
        assert_eq!(exit_of(&anyhow::anyhow!("else")), Exit::Failed);
        let wrapped = Err::<(), _>(refusal("X")).context(Stop::failed("outer"));
        assert_eq!(wrapped.map_err(|error| exit_of(&error)), Err(Exit::Failed));
    }

    #[test]
    fn a_known_refusal_has_a_hint_and_an_unknown_one_none() {
        assert!(hint_of(&refusal("ExpiredToken")).is_some());
        assert_eq!(hint_of(&refusal("SomethingElse")), None);
        let stop: anyhow::Error = Stop::failed("a").hint("do b").into();
        assert_eq!(hint_of(&stop), Some("do b".into()));
    }
}
