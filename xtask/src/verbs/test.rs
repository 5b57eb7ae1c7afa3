//! `test`: installs what the suites need, then runs all of them in one run with the summary at the
//! end.

mod fuzz;

use std::process::ExitStatus;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::context::is_embedded;
use crate::functions::{self, Flavour};
use crate::jobs::Job;
use crate::local::{SuiteTools, Tools};
use crate::output::{Output, counted};
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Run the fault model alone, with this many randomised schedules
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) faults: Option<u64>,
    /// Seed of the first schedule; it increases by one with each schedule
    #[arg(long, value_name = "S", requires = "faults", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Run the chaos tests alone: the deployed system while its functions die and its calls fail,
    /// and deploys that are killed
    #[arg(long, conflicts_with = "faults")]
    pub(crate) chaos: bool,
    /// Run the fuzz targets alone, each for this many seconds (60 if none are given)
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "60",
        value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with_all = ["faults", "chaos"]
    )]
    pub(crate) fuzz: Option<u64>,
    /// Arguments for the test runner, such as a name to filter by; with `--fuzz`, the targets to run
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

pub(crate) async fn run(context: &Context, args: Arguments) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    if !is_embedded(&environment) {
        return Err(Stop::usage("tests run in `local` only").into());
    }
    if let Some(schedules) = args.faults {
        return faults(context, schedules, args.seed).await;
    }
    if let Some(seconds) = args.fuzz {
        return fuzz::run(context, seconds, &args.args).await;
    }
    Tools::ensure(context).await?;
    SuiteTools::ensure(context).await?;
    for program in missing_browser() {
        context.out.warning(&format!(
            "`{program}` is not on the path, and the suite `browser` fails without it: on Debian and Ubuntu, \
             `apt-get install chromium chromium-driver`"
        ));
    }
    functions::build(context, Flavour::of(&environment, None)?).await?;
    if args.chaos {
        return chaos(context, &args.args).await;
    }
    let nextest = has_nextest().await;
    // Only cargo can run examples in documentation.
    if args.args.is_empty() {
        context
            .out
            .step("running the examples in the documentation");
        let doc = cargo(context, &["test", "--workspace", "--doc", "--quiet"], &[]);
        if !doc.run_in_place().await?.success() {
            return Ok(Exit::Failed);
        }
    }
    context.out.step("running the tests");
    let status = if nextest {
        let run = ["nextest", "run", "--workspace", "--no-fail-fast"];
        cargo(context, &run, &args.args).run_in_place().await?
    } else {
        with_cargo_test(context, &args.args).await?
    };
    Ok(if status.success() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Runs the tests that take too long for every run, one after the other, and shows their reports.
async fn chaos(context: &Context, args: &[String]) -> anyhow::Result<Exit> {
    context.out.step("running the chaos tests");
    let run = ["test", "--test", "suites", "--", "chaos::", "killed::"];
    let job = cargo(context, &run, args).args(["--ignored", "--nocapture", "--test-threads=1"]);
    Ok(if job.run_in_place().await?.success() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// The result of the suites' program `faults`.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    schedules: u64,
    seconds: f64,
    violations: Vec<Violation>,
}

/// A schedule that ended with a wrong count.
#[derive(Debug, Serialize, Deserialize)]
struct Violation {
    seed: u64,
    wrong: String,
    shrunk: Vec<String>,
}

/// Runs the fault model through this many schedules. It reports each violation itself, beginning
/// with the command that reproduces it.
async fn faults(context: &Context, schedules: u64, seed: u64) -> anyhow::Result<Exit> {
    context.out.step(&format!(
        "running {schedules} schedules from seed {seed} on"
    ));
    // Not `-p tests`: with the features of the whole workspace, like everything that is built
    // already. Not optimised for release either: there a panic would end the run, here it is a
    // violation.
    let run = ["run", "--quiet", "--bin", "faults", "--"];
    let mut asked = vec![schedules.to_string(), format!("--seed={seed}")];
    asked.extend(context.out.is_quiet().then(|| "--quiet".to_owned()));
    let mut answer = String::new();
    let job = cargo(context, &run, &asked);
    let status = job.each_line(|line| {
        answer.push_str(line);
        Ok(())
    });
    let status = status.await?;
    let found: Found = serde_json::from_str(&answer).with_context(|| {
        Stop::failed(format!("the fault model did not run to its end: {status}"))
    })?;
    context.out.answer(&found, Found::text)?;
    Ok(if found.violations.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

impl Found {
    fn text(&self) -> String {
        let Self {
            schedules,
            seconds,
            violations,
        } = self;
        let summary = format!(
            "{} in {seconds:.0} s, {}",
            counted(*schedules, "schedule"),
            counted(violations.len(), "violation")
        );
        let again = violations
            .iter()
            .map(|violation| format!("\ncargo xtask test --faults 1 --seed {}", violation.seed));
        again.fold(summary, |text, line| text + &line)
    }
}

fn cargo(context: &Context, verb: &[&str], args: &[String]) -> Job {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Job::new(program)
        .args(verb)
        .args(args)
        // cargo-lambda moves away binaries that other tests run.
        .env("XTASK_PREBUILT", "true")
        .current_dir(&context.root)
}

/// The programs of the suite `browser` that are not on the path. The system must provide them: no
/// package registry has a browser that runs without its libraries.
fn missing_browser() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let is_missing = |program: &&str| !folders.iter().any(|folder| folder.join(program).is_file());
    ["chromium", "chromedriver"]
        .into_iter()
        .filter(is_missing)
        .collect()
}

async fn has_nextest() -> bool {
    let run = Job::new("cargo-nextest")
        .args(["nextest", "--version"])
        .read()
        .await;
    run.is_ok_and(|output| output.status.success())
}

/// `cargo test` sums up each binary separately; the total comes last, in the same words.
async fn with_cargo_test(context: &Context, args: &[String]) -> anyhow::Result<ExitStatus> {
    let all = ["test", "--workspace", "--all-targets", "--no-fail-fast"];
    let mut total = Summary::default();
    let status = cargo(context, &all, args)
        .each_line(|line| {
            total.add(line);
            Output::raw(line)
        })
        .await?;
    Output::raw(&total.line()).context("printing the summary")?;
    Ok(status)
}

/// Test results of several binaries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Summary {
    /// Adds a line `test result: ok. 3 passed; 0 failed; 1 ignored; …`; ignores all others.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let count = |word: &str| {
            result.split([';', '.']).find_map(|part| {
                let number = part.trim().strip_suffix(word)?;
                number.trim().parse::<u64>().ok()
            })
        };
        self.passed += count("passed").unwrap_or(0);
        self.failed += count("failed").unwrap_or(0);
        self.ignored += count("ignored").unwrap_or(0);
    }

    fn line(&self) -> String {
        format!(
            "test result: {}. {} passed; {} failed; {} ignored; in all binaries",
            if self.failed == 0 { "ok" } else { "FAILED" },
            self.passed,
            self.failed,
            self.ignored
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_summed_up_with_the_line_that_shows_it_again() {
        let found: Found = serde_json::from_str(
            r#"{"schedules": 9, "seconds": 1.2, "violations":
                [{"seed": 7, "wrong": "counted 2 times", "shrunk": ["a step"]}]}"#,
        )
        .unwrap();
        assert_eq!(
            found.text(),
            "9 schedules in 1 s, 1 violation\ncargo xtask test --faults 1 --seed 7"
        );
    }

    #[test]
    fn results_of_binaries_add_up() {
        let mut total = Summary::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ] {
            total.add(line);
        }
        assert_eq!(
            total.line(),
            "test result: FAILED. 5 passed; 1 failed; 1 ignored; in all binaries"
        );
    }
}
