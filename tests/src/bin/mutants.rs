//! Applies each patch of `tests/mutants` to a copy of the tree, and checks that the fault model
//! finds it.
//!
//! A fault model that finds nothing proves something only if it finds deliberate defects. The copy
//! and its build are under `target/mutants`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::Value;
use tests::synthesised::root;

/// Checks that the fault model finds each of the deliberate defects of `tests/mutants`.
#[derive(Debug, Parser)]
struct Arguments {
    /// Patches by name; all of them by default.
    mutants: Vec<String>,
    /// The number of schedules within which a defect must be found.
    #[arg(long, default_value_t = 20_000)]
    schedules: u64,
}

/// The result of a mutant.
enum Ending {
    Found { schedules: u64, wrong: String },
    Survived,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mutants = if arguments.mutants.is_empty() {
        all()?
    } else {
        arguments.mutants.clone()
    };
    let bench = Bench::new();
    let mut survivors = 0;
    for name in &mutants {
        let began = Instant::now();
        let ending = bench.try_out(name, arguments.schedules)?;
        let seconds = began.elapsed().as_secs();
        let line = match ending {
            Ending::Found { schedules, wrong } => {
                format!("| {name} | found | {schedules} | {seconds} | {wrong} |")
            }
            Ending::Survived => {
                survivors += 1;
                format!(
                    "| {name} | **survived** | {} | {seconds} | |",
                    arguments.schedules
                )
            }
        };
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(if survivors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The names of all patches.
fn all() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("tests/mutants"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "patch")
        {
            let name = path.file_stem().and_then(|name| name.to_str());
            names.push(name.context("a patch without a name")?.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The copy of the tree and its build folder.
struct Bench {
    tree: PathBuf,
    target: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = root().join("target/mutants");
        Self {
            tree: folder.join("tree"),
            // Not the tree's own folder: cargo mistakes the copy's crates for the tree's, and would
            // use the defective ones there.
            target: folder.join("target"),
        }
    }

    fn try_out(&self, name: &str, schedules: u64) -> Result<Ending> {
        self.copy().context("the tree cannot be copied")?;
        let patch = root().join(format!("tests/mutants/{name}.patch"));
        let mut apply = Command::new("git");
        apply
            .current_dir(root())
            .args(["apply", "--directory=target/mutants/tree"])
            .arg(&patch);
        run(&mut apply).with_context(|| format!("`{name}` does not apply any more"))?;
        let mut build = Command::new("cargo");
        build
            .current_dir(&self.tree)
            .args(["build", "--quiet", "--locked", "--bin", "faults"])
            .args(["--message-format", "json-render-diagnostics"])
            .env("CARGO_TARGET_DIR", &self.target);
        let compiled = run(&mut build).with_context(|| format!("`{name}` does not build"))?;
        let faults = executable(&compiled)?;
        let report = Command::new(faults)
            .arg(schedules.to_string())
            .stderr(Stdio::null())
            .output()?;
        let report: Value = serde_json::from_slice(&report.stdout).context("no report")?;
        let violations = report.get("violations").and_then(Value::as_array);
        let found = violations.into_iter().flatten().filter_map(|violation| {
            let wrong = violation.get("wrong").and_then(Value::as_str)?;
            Some((violation.get("seed").and_then(Value::as_u64)?, wrong))
        });
        // Several threads may find more than one, in any order. Seeds count from 0.
        Ok(match found.min() {
            Some((seed, wrong)) => Ending::Found {
                schedules: seed + 1,
                wrong: brief(wrong),
            },
            None => Ending::Survived,
        })
    }

    /// Updates the copy from the tree. It writes only files that differ, so that only those are
    /// rebuilt.
    fn copy(&self) -> Result<()> {
        let mut list = Command::new("git");
        list.current_dir(root()).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let listed = run(&mut list)?;
        for path in listed
            .split(|byte| *byte == 0)
            .filter(|path| !path.is_empty())
        {
            let path = Path::new(std::str::from_utf8(path)?);
            let from = root().join(path);
            // A file that git tracks may have been deleted without a commit.
            if from.is_file() {
                copy_if_changed(&from, &self.tree.join(path))?;
            }
        }
        Ok(())
    }
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let wanted = fs::read(from)?;
    if fs::read(to).is_ok_and(|known| known == wanted) {
        return Ok(());
    }
    let folder = to.parent().context("a file without a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(to, wanted)?;
    Ok(())
}

/// Runs a command to its end and returns its standard output.
fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stderr(Stdio::piped()).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// The program that cargo reports as built.
fn executable(messages: &[u8]) -> Result<PathBuf> {
    let mut found = None;
    for line in messages
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let message: Value = serde_json::from_slice(line)?;
        if let Some(path) = message.get("executable").and_then(Value::as_str) {
            found = Some(PathBuf::from(path));
        }
    }
    ensure!(
        found.as_ref().is_some_and(|path| path.is_file()),
        "cargo has built no program"
    );
    found.context("cargo has built no program")
}

/// The first words of a violation.
fn brief(wrong: &str) -> String {
    let text: String = wrong.chars().take(60).collect();
    text.replace('|', "/")
}
