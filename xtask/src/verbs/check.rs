//! `check`: the rules that the compiler does not enforce.
//!
//! They concern dependencies between crates, from `cargo metadata`, and contents of the tree.

mod unused;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Command;
use serde::Deserialize;

use super::codegen;
use crate::context::Context;
use crate::jobs::Job;
use crate::output::counted;
use crate::reference;
use crate::stop::{Exit, Stop};

/// The crates of the workspace that each of its crates may use ("Direction" in `ARCHITECTURE.md`).
/// A crate that is not listed may not exist.
const MAY_USE: [(&str, &[&str]); 20] = [
    ("domain", &[]),
    ("runtime", &["domain"]),
    ("authorizer", &["domain", "runtime"]),
    ("processor", &["domain", "runtime"]),
    ("aggregator", &["domain", "report", "runtime"]),
    ("bearer", &["domain", "runtime"]),
    ("analytics", &["bearer", "domain", "runtime"]),
    ("collector", &["bearer", "domain", "runtime"]),
    ("deadlines", &["domain", "runtime"]),
    ("keyring", &["domain"]),
    ("keys", &["bearer", "domain", "keyring", "runtime"]),
    ("notifier", &["domain", "runtime"]),
    ("report", &["domain"]),
    ("scaler", &["domain", "runtime"]),
    ("reconciler", &["domain", "runtime"]),
    ("stacks", &["domain"]),
    ("codegen", &[]),
    ("deployer", &["domain", "keyring"]),
    ("lambda-host", &["domain"]),
    (
        "xtask",
        &[
            "codegen",
            "deployer",
            "domain",
            "keyring",
            "lambda-host",
            "report",
            "stacks",
        ],
    ),
];

/// The suites may use everything.
const SUITES: &str = "tests";

/// Crates that pure crates must not use: AWS, tokio, an HTTP client.
const PURE: [&str; 3] = ["domain", "report", "stacks"];
const IMPURE: [&str; 5] = ["aws-", "aws_", "tokio", "reqwest", "lambda_runtime"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Its name in the sources, if that is another.
    rename: Option<String>,
    /// `dev` for dependencies of tests, which may point anywhere.
    kind: Option<String>,
}

pub(crate) async fn run(context: &Context, commands: &Command) -> anyhow::Result<Exit> {
    let metadata = metadata(context).await?;
    let files = tracked(context).await?;
    let mut found = direction(&metadata);
    found.extend(unused::unused(&metadata, &files, &context.root));
    let shipped = features(context, "normal,build").await?;
    let tested = features(context, "normal,build,dev").await?;
    found.extend(built_twice(&shipped, &tested));
    found.extend(paths(&files, &context.root));
    if !codegen::is_current(&context.root, commands) {
        found.push(codegen::out_of_date(reference::PAGE));
    }
    for violation in &found {
        context.out.warning(violation);
    }
    if found.is_empty() {
        context.out.step("the rules of the tree hold");
        return Ok(Exit::Done);
    }
    let broken = counted(found.len(), "rule");
    Err(Stop::failed(format!("the tree breaks {broken}")).into())
}

/// A version of a package, and its features.
type Features = BTreeSet<(String, String)>;

/// The features that packages have with these kinds of dependencies.
async fn features(context: &Context, kinds: &str) -> anyhow::Result<Features> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Job::new(program)
        .args(["tree", "--workspace", "--edges", kinds])
        .args(["--prefix", "none", "--format", "{p}|{f}|"])
        .current_dir(&context.root)
        .read()
        .await?;
    let listed = String::from_utf8(output.stdout).context("reading `cargo tree`")?;
    let lines = listed.lines().filter_map(|line| {
        let (package, rest) = line.split_once('|')?;
        let (features, _) = rest.split_once('|')?;
        Some((package.to_owned(), features.to_owned()))
    });
    Ok(lines.collect())
}

/// Packages that tests use with other features than commands and functions do. Cargo builds these,
/// and everything that depends on them, once for each set of features.
fn built_twice(shipped: &Features, tested: &Features) -> Vec<String> {
    let different = shipped.difference(tested);
    let named = different.map(|(package, features)| {
        format!(
            "`{package}` is built twice: tests want other features than `{features}`; name the \
             same ones in `Cargo.toml` of `tests`"
        )
    });
    named.collect()
}

async fn metadata(context: &Context) -> anyhow::Result<Metadata> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Job::new(program)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(&context.root)
        .read()
        .await?;
    serde_json::from_slice(&output.stdout).context("reading `cargo metadata`")
}

/// Dependencies in a forbidden direction.
fn direction(metadata: &Metadata) -> Vec<String> {
    let allowed: BTreeMap<_, _> = MAY_USE.into_iter().collect();
    let members: BTreeSet<_> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut found = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        if name == SUITES {
            continue;
        }
        let Some(may_use) = allowed.get(name) else {
            found.push(format!(
                "crate `{name}` has no place in the order of crates"
            ));
            continue;
        };
        let uses = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        for used in uses.map(|dependency| dependency.name.as_str()) {
            if members.contains(used) && !may_use.contains(&used) {
                found.push(format!("crate `{name}` may not use `{used}`"));
            }
            if PURE.contains(&name) && IMPURE.iter().any(|impure| used.starts_with(impure)) {
                found.push(format!("crate `{name}` is pure and may not use `{used}`"));
            }
        }
    }
    found
}

/// The files of the tree that git tracks.
async fn tracked(context: &Context) -> anyhow::Result<Vec<String>> {
    let output = Job::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(&context.root)
        .read()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

/// Modules are named for their content.
const NAMELESS: [&str; 4] = ["utils", "helpers", "common", "misc"];
/// Reference material beside the checkout, on which nothing may depend: no file may mention it.
const OUTSIDE: &str = "../shared";

fn paths(files: &[String], root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str());
        if Path::new(file).extension().is_some_and(|ext| ext == "rs")
            && stem.is_some_and(|stem| NAMELESS.contains(&stem))
        {
            found.push(format!("`{file}`: name the module for what it holds"));
        }
        if file.starts_with("cdk.out/")
            && !file.ends_with("README.md")
            && !file.ends_with(".gitignore")
        {
            found.push(format!("`{file}`: the assembly is generated, and not kept"));
        }
        if file.ends_with("verbs/check.rs") {
            continue;
        }
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        if text.contains(OUTSIDE) {
            found.push(format!("`{file}` names a folder outside the repository"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &[(&str, Option<&str>)]) -> Package {
        Package {
            name: name.into(),
            manifest_path: PathBuf::new(),
            dependencies: uses
                .iter()
                .map(|(name, kind)| Dependency {
                    name: (*name).into(),
                    rename: None,
                    kind: kind.map(str::to_owned),
                })
                .collect(),
        }
    }

    #[test]
    fn a_dependency_against_the_direction_is_named() {
        let metadata = Metadata {
            packages: vec![
                package("domain", &[("tokio", None), ("proptest", Some("dev"))]),
                package("runtime", &[("domain", None)]),
                package("stacks", &[("runtime", None), ("domain", None)]),
                package(
                    "processor",
                    &[("authorizer", None), ("authorizer", Some("dev"))],
                ),
                package("authorizer", &[("runtime", None)]),
                package("newcomer", &[]),
            ],
        };
        assert_eq!(
            direction(&metadata),
            [
                "crate `domain` is pure and may not use `tokio`",
                "crate `stacks` may not use `runtime`",
                "crate `processor` may not use `authorizer`",
                "crate `newcomer` has no place in the order of crates",
            ]
        );
    }

    #[test]
    fn a_package_that_tests_want_with_other_features_is_named() {
        let of = |features: &str| Features::from([("time v1".to_owned(), features.to_owned())]);
        assert_eq!(built_twice(&of("std"), &of("std")), [""; 0]);
        let found = built_twice(&of(""), &of("std"));
        assert!(
            found[0].starts_with("`time v1` is built twice"),
            "{found:?}"
        );
    }

    #[test]
    fn nameless_modules_and_generated_files_are_found() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            "a/utils.rs",
            "cdk.out/manifest.json",
            "cdk.out/README.md",
            "a/stream.rs",
        ];
        let files = files.map(str::to_owned);
        let found = paths(&files, root.path());
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
