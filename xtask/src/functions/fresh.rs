//! Decides whether the functions need compiling at all.
//!
//! cargo-lambda takes seconds to find that nothing has changed. Cargo lists the sources of each
//! binary in a file beside it
//! (<https://doc.rust-lang.org/cargo/reference/build-cache.html#dep-info-files>): as long as all of
//! them and the build's configuration are unchanged, so are the binaries.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use domain::names::Function;
use domain::time::UnixMillis;

use super::{BOOTSTRAP, Flavour, hex, mark, write_whole};

/// The file that records the inputs of the last build.
const NOTE: &str = "built-from";
/// Files that configure a build, from the repository's folder.
const CONFIGURATION: [&str; 4] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    ".cargo/config.toml",
];
/// Variables that configure a build.
const VARIABLES: [&str; 3] = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTUP_TOOLCHAIN"];

/// Whether a build would produce the same binaries.
pub(super) fn is_fresh(root: &Path, flavour: Flavour, binaries: &Path) -> bool {
    let built = Function::ALL
        .iter()
        .all(|function| binaries.join(function.folder()).join(BOOTSTRAP).is_file());
    let noted = std::fs::read_to_string(binaries.join(NOTE)).ok();
    built && noted.is_some() && noted == inputs(root, flavour).map(|inputs| inputs.digest)
}

/// Records the inputs of the build that just ended, unless they changed during the build.
pub(super) fn note(
    root: &Path,
    flavour: Flavour,
    binaries: &Path,
    begun: UnixMillis,
) -> anyhow::Result<()> {
    let path = binaries.join(NOTE);
    match inputs(root, flavour) {
        Some(inputs) if inputs.last_change < begun => write_whole(&path, inputs.digest.as_bytes()),
        _ if path.exists() => {
            std::fs::remove_file(&path).with_context(|| format!("removing `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// The inputs of the binaries.
struct Inputs {
    digest: String,
    last_change: UnixMillis,
}

/// `None` if something is missing, such as a source that was moved.
fn inputs(root: &Path, flavour: Flavour) -> Option<Inputs> {
    let profile = if flavour.release { "release" } else { "debug" };
    let built = root.join("target").join(flavour.target()).join(profile);
    let mut files: BTreeSet<PathBuf> = CONFIGURATION.iter().map(|file| root.join(file)).collect();
    for function in Function::ALL {
        let dep_info = built.join(function.folder()).with_extension("d");
        files.extend(sources(&std::fs::read_to_string(dep_info).ok()?));
    }
    let manifests: BTreeSet<PathBuf> = files.iter().filter_map(|file| manifest(file)).collect();
    files.extend(manifests);

    let mut text = String::new();
    let mut last_change = UnixMillis(0);
    for file in &files {
        last_change = last_change.max(changed(file)?);
        writeln!(text, "{} {}", file.display(), mark(file).ok()?).ok()?;
    }
    for name in VARIABLES {
        writeln!(text, "{name} {:?}", std::env::var_os(name)).ok()?;
    }
    Some(Inputs {
        digest: hex(text.as_bytes()),
        last_change,
    })
}

fn changed(file: &Path) -> Option<UnixMillis> {
    let modified = std::fs::metadata(file).ok()?.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    Some(UnixMillis(since.as_millis().try_into().ok()?))
}

/// The prerequisites in a dep-info file: paths after the first colon, with escaped blanks.
fn sources(dep_info: &str) -> BTreeSet<PathBuf> {
    let rules = dep_info
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(_, prerequisites)| prerequisites.replace("\\ ", "\0"));
    rules
        .flat_map(|prerequisites| {
            prerequisites
                .split_whitespace()
                .map(|path| PathBuf::from(path.replace('\0', " ")))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The manifest of a source's package.
fn manifest(source: &Path) -> Option<PathBuf> {
    source
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("Cargo.toml"))
        .find(|manifest| manifest.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stacks::environment::Architecture;

    const LOCAL: Flavour = Flavour {
        architecture: Architecture::X8664,
        release: false,
    };

    /// A repository with the binaries of every function, all from one source.
    fn built(root: &Path) -> PathBuf {
        let write = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for file in CONFIGURATION {
            write(root.join(file), "");
        }
        let source = root.join("functions/a b/src/main.rs");
        write(source.clone(), "fn main() {}");
        write(root.join("functions/a b/Cargo.toml"), "");
        let binaries = root.join("binaries");
        let escaped = source.display().to_string().replace(' ', "\\ ");
        for function in Function::ALL {
            let debug = root.join("target").join(LOCAL.target()).join("debug");
            let dep_info = debug.join(function.folder()).with_extension("d");
            write(dep_info, &format!("/some/binary: {escaped}\n"));
            write(binaries.join(function.folder()).join(BOOTSTRAP), "binary");
        }
        binaries
    }

    /// Long after everything here is written.
    const LATER: UnixMillis = UnixMillis(i64::MAX);

    #[test]
    fn binaries_are_fresh_until_something_they_depend_on_changes() {
        for changed in [
            "functions/a b/src/main.rs",
            "functions/a b/Cargo.toml",
            "Cargo.lock",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let binaries = built(dir.path());
            assert!(!is_fresh(dir.path(), LOCAL, &binaries), "never built");
            note(dir.path(), LOCAL, &binaries, LATER).unwrap();
            assert!(is_fresh(dir.path(), LOCAL, &binaries));
            std::fs::write(dir.path().join(changed), "changed").unwrap();
            assert!(!is_fresh(dir.path(), LOCAL, &binaries), "{changed}");
        }
    }

    #[test]
    fn what_is_missing_is_built() {
        for gone in ["functions/a b/src/main.rs", "binaries/processor/bootstrap"] {
            let dir = tempfile::tempdir().unwrap();
            let binaries = built(dir.path());
            note(dir.path(), LOCAL, &binaries, LATER).unwrap();
            std::fs::remove_file(dir.path().join(gone)).unwrap();
            assert!(!is_fresh(dir.path(), LOCAL, &binaries), "{gone}");
        }
    }

    #[test]
    fn a_source_that_was_saved_during_the_build_is_built_again() {
        let dir = tempfile::tempdir().unwrap();
        let binaries = built(dir.path());
        note(dir.path(), LOCAL, &binaries, LATER).unwrap();
        note(dir.path(), LOCAL, &binaries, UnixMillis(0)).unwrap();
        assert!(!is_fresh(dir.path(), LOCAL, &binaries));
    }
}
