//! The Python that runs the embedded AWS.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::jobs::Job;
use crate::stop::Stop;

/// The oldest Python that the pinned tools support.
const OLDEST: (u32, u32) = (3, 10);
/// Names the interpreter, if set.
const VARIABLE: &str = "PYTHON";
const VERSION_SCRIPT: &str = "import sys; print('%d.%d' % sys.version_info[:2])";

/// A Python that is new enough.
#[derive(Debug, Clone)]
pub(crate) struct Python {
    pub(crate) program: PathBuf,
}

impl Python {
    /// `$PYTHON`, otherwise `python3`, otherwise `python`.
    pub(crate) async fn find() -> anyhow::Result<Self> {
        let named = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let candidates = match named {
            Some(program) => vec![program],
            None => vec![OsString::from("python3"), OsString::from("python")],
        };
        let mut seen = Vec::new();
        for program in candidates {
            let shown = program.display().to_string();
            match version(&program).await {
                Some(version) if version >= OLDEST => {
                    let program = program.into();
                    return Ok(Self { program });
                }
                Some((major, minor)) => seen.push(format!("`{shown}` is {major}.{minor}")),
                None => seen.push(format!("`{shown}` does not run")),
            }
        }
        let (major, minor) = OLDEST;
        Err(Stop::failed(format!(
            "the embedded AWS needs Python {major}.{minor} or newer: {}",
            seen.join(", ")
        ))
        .hint(format!(
            "install Python {major}.{minor} or newer (Debian: `apt-get install python3 python3-venv`), or name one: `{VARIABLE}=/path/to/python3 cargo xtask deploy`"
        ))
        .into())
    }
}

async fn version(program: &OsString) -> Option<(u32, u32)> {
    let output = Job::new(program).args(["-c", VERSION_SCRIPT]).read().await;
    let output = output.ok().filter(|output| output.status.success())?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse_version("3.11\n"), Some((3, 11)));
        assert!(parse_version("3.9") < Some(OLDEST));
        assert!(parse_version("3.10") >= Some(OLDEST));
        assert_eq!(parse_version("Python"), None);
    }
}
