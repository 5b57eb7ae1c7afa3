//! `test --fuzz`: inputs that libFuzzer invents, for everything that reads what others wrote.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::cargo;
use crate::context::Context;
use crate::jobs::Job;
use crate::output::counted;
use crate::stop::{Exit, Stop};

/// The workspace of the targets. Its crates are instrumented, so they share no build with others.
const WORKSPACE: &str = "tests/fuzz";
/// What libFuzzer has to know about the program: which branches it takes, and what it compares.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                         -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                         -Cllvm-args=-sanitizer-coverage-pc-table \
                         -Cllvm-args=-sanitizer-coverage-trace-compares \
                         --cfg fuzzing -Cdebug-assertions";
/// Seconds after which a single input counts as a hang.
const HANGS_AFTER: u32 = 10;

/// What was run.
#[derive(Debug, Serialize)]
struct Fuzzed {
    /// Seconds for each target.
    seconds: u64,
    targets: Vec<String>,
    /// The targets with a crash or a hang.
    failed: Vec<String>,
    /// Where the inputs of crashes and hangs are.
    inputs: PathBuf,
}

/// Runs each target, or those that are named, for this many seconds.
pub(super) async fn run(context: &Context, seconds: u64, named: &[String]) -> anyhow::Result<Exit> {
    let workspace = context.root.join(WORKSPACE);
    let targets = chosen(targets(&workspace)?, named)?;
    let out = context.root.join("target/fuzz");
    context.out.step("building the fuzz targets");
    let build = in_workspace(context, &["build", "--locked"], &workspace, &out);
    if !build.run_in_place().await?.success() {
        return Ok(Exit::Failed);
    }
    let inputs = out.join("found");
    let mut failed = Vec::new();
    for target in &targets {
        context
            .out
            .step(&format!("fuzzing `{target}` for {seconds} s"));
        let found = inputs.join(target);
        std::fs::create_dir_all(&found).with_context(|| format!("creating {}", found.display()))?;
        let run = ["run", "--quiet", "--locked", "--bin", target, "--"];
        let bounds = [
            format!("-max_total_time={seconds}"),
            format!("-timeout={HANGS_AFTER}"),
            format!("-artifact_prefix={}/", found.display()),
        ];
        let job = in_workspace(context, &run, &workspace, &out)
            .args(bounds)
            .args(["-verbosity=0", "-print_final_stats=1"])
            .args([found, workspace.join("corpus").join(target)]);
        if !job.run_in_place().await?.success() {
            failed.push(target.clone());
        }
    }
    let fuzzed = Fuzzed {
        seconds,
        targets,
        failed,
        inputs,
    };
    context.out.answer(&fuzzed, Fuzzed::text)?;
    Ok(if fuzzed.failed.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn in_workspace(context: &Context, verb: &[&str], workspace: &Path, out: &Path) -> Job {
    cargo(context, verb, &[])
        .env("CARGO_TARGET_DIR", out)
        .env("RUSTFLAGS", RUSTFLAGS)
        .current_dir(workspace)
}

/// The names of all targets: each is a file.
fn targets(workspace: &Path) -> anyhow::Result<Vec<String>> {
    let folder = workspace.join("fuzz_targets");
    let read = || format!("reading {}", folder.display());
    let mut names = Vec::new();
    for file in std::fs::read_dir(&folder).with_context(read)? {
        let path = file.with_context(read)?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn chosen(all: Vec<String>, named: &[String]) -> anyhow::Result<Vec<String>> {
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        let all = all.join("`, `");
        return Err(Stop::usage(format!(
            "unknown fuzz target `{unknown}`: expected one of `{all}`"
        ))
        .into());
    }
    Ok(if named.is_empty() {
        all
    } else {
        named.to_vec()
    })
}

impl Fuzzed {
    fn text(&self) -> String {
        let Self {
            seconds,
            targets,
            failed,
            inputs,
        } = self;
        let ran = format!(
            "{}, {seconds} s each",
            counted(targets.len(), "fuzz target")
        );
        if failed.is_empty() {
            return format!("{ran}: no crash, no hang");
        }
        let failed = failed.join("`, `");
        format!(
            "{ran}: `{failed}` failed; the inputs are in {}",
            inputs.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_program_and_seeds() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
        let manifest = std::fs::read_to_string(workspace.join("Cargo.toml")).unwrap();
        let targets = targets(&workspace).unwrap();
        assert!(!targets.is_empty());
        for target in &targets {
            assert!(
                manifest.contains(&format!("name = \"{target}\"")),
                "{target}"
            );
            let seeds = std::fs::read_dir(workspace.join("corpus").join(target)).unwrap();
            assert!(seeds.count() > 0, "{target}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
    }

    #[test]
    fn named_targets_run_alone_and_an_unknown_one_is_refused() {
        let all = || vec!["entry".to_owned(), "key".to_owned()];
        assert_eq!(chosen(all(), &[]).unwrap(), all());
        assert_eq!(chosen(all(), &["key".to_owned()]).unwrap(), ["key"]);
        let refused = chosen(all(), &["kye".to_owned()]).unwrap_err().to_string();
        assert_eq!(
            refused,
            "unknown fuzz target `kye`: expected one of `entry`, `key`"
        );
    }

    #[test]
    fn a_crash_is_summed_up_with_where_its_input_is() {
        let fuzzed = |failed: &[&str]| Fuzzed {
            seconds: 5,
            targets: vec!["entry".to_owned(), "key".to_owned()],
            failed: failed.iter().map(|name| (*name).to_owned()).collect(),
            inputs: PathBuf::from("target/fuzz/found"),
        };
        assert_eq!(
            fuzzed(&[]).text(),
            "2 fuzz targets, 5 s each: no crash, no hang"
        );
        assert_eq!(
            fuzzed(&["key"]).text(),
            "2 fuzz targets, 5 s each: `key` failed; the inputs are in target/fuzz/found"
        );
    }
}
