//! Keeps this machine's folders out of the binaries for AWS, so that the same source and the same
//! toolchain make the same zip in every folder.
//!
//! The compiler writes the paths of sources into a binary, for panics. Cargo's hashes do not depend
//! on these flags (<https://doc.rust-lang.org/rustc/command-line-arguments.html>).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::jobs::Job;

/// The variable that carries flags with blanks in them, and what separates them.
pub(super) const VARIABLE: &str = "CARGO_ENCODED_RUSTFLAGS";
const SEPARATOR: &str = "\x1f";

/// A folder, and what a binary calls it.
type Renamed = (PathBuf, String);

/// The compiler's flags: the user's own, and those that rename folders.
pub(super) async fn flags(root: &Path) -> anyhow::Result<OsString> {
    let sysroot = rustc(root, &["--print", "sysroot"]).await?;
    let version = rustc(root, &["-vV"]).await?;
    let hash = version
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "));
    let mut renamed = vec![
        (root.to_owned(), "/src".to_owned()),
        (
            Path::new(sysroot.trim()).join("lib/rustlib/src/rust"),
            format!("/rustc/{}", hash.unwrap_or("unknown")),
        ),
    ];
    renamed.extend(cargo_home().map(|home| (home, "/cargo".to_owned())));
    let variable = |name| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let given = Given {
        encoded: variable(VARIABLE),
        plain: variable("RUSTFLAGS"),
    };
    Ok(encoded(&given, &renamed).into())
}

async fn rustc(root: &Path, args: &[&str]) -> anyhow::Result<String> {
    let read = Job::new("rustc").args(args).current_dir(root).read();
    let read = read.await.context("asking the compiler where it is")?;
    Ok(String::from_utf8_lossy(&read.stdout).into_owned())
}

/// Where cargo keeps the sources of other crates.
fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// The flags that the user sets. Cargo reads the first that is there.
struct Given {
    encoded: Option<String>,
    plain: Option<String>,
}

fn encoded(given: &Given, renamed: &[Renamed]) -> String {
    let own: Vec<&str> = match (&given.encoded, &given.plain) {
        (Some(encoded), _) => encoded.split(SEPARATOR).collect(),
        (None, Some(plain)) => plain.split_whitespace().collect(),
        (None, None) => Vec::new(),
    };
    let own = own.into_iter().filter(|flag| !flag.is_empty());
    let renamed = renamed
        .iter()
        .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()));
    let all: Vec<String> = own.map(str::to_owned).chain(renamed).collect();
    all.join(SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags_of(encoded: Option<&str>, plain: Option<&str>) -> Vec<String> {
        let given = Given {
            encoded: encoded.map(str::to_owned),
            plain: plain.map(str::to_owned),
        };
        let renamed = [(PathBuf::from("/home/a b/metering"), "/src".to_owned())];
        let flags = super::encoded(&given, &renamed);
        flags.split(SEPARATOR).map(str::to_owned).collect()
    }

    #[test]
    fn folders_are_renamed_beside_the_users_own_flags() {
        let renames = "--remap-path-prefix=/home/a b/metering=/src";
        assert_eq!(flags_of(None, None), [renames]);
        assert_eq!(
            flags_of(None, Some(" -C  target-cpu=native ")),
            ["-C", "target-cpu=native", renames]
        );
        assert_eq!(
            flags_of(Some("-C\x1fopt-level=3"), Some("-g")),
            ["-C", "opt-level=3", renames],
            "as cargo reads them"
        );
    }
}
