//! `bench`: the cost and speed of the system, measured here and now.
//!
//! Times on a shared machine drift: only the ratio to a measurement of the same run is meaningful.
//! Nothing here fails for being slow.

mod bill;
mod figure;
mod host;
mod local;
mod pipeline;
mod plot;
mod scale;
mod synth;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::duration::duration;
use crate::jobs::Job;
use crate::stop::{Exit, Stop};
use figure::Figure;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The benchmarks; by default all but B5 and B11, which measure a deployed `local`
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<BenchmarkId>,
    /// Folder for plots
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) plots: PathBuf,
    /// How long B11 lasts
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30m")]
    pub(crate) soak: Duration,
    /// Measure B1 also beside a processor as it is usually written in Node.js
    #[arg(long)]
    pub(crate) peer: bool,
}

/// The benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchmarkId {
    /// CPU time and memory of the processor and the fold.
    #[value(name = "B1")]
    Cpu,
    /// How long a caller waits for the authorizer, and what the function host adds.
    #[value(name = "B2")]
    AuthorizerTimes,
    /// From the start of a process to its first response, and the size of the deployed zip.
    #[value(name = "B3")]
    ColdStart,
    /// Write and read units that DynamoDB bills per 1,000 calls.
    #[value(name = "B4")]
    Cost,
    /// From the answer to a call until `user-stats` shows it, in the deployed `local`.
    #[value(name = "B5")]
    Freshness,
    /// Time and memory of `synth` with built functions.
    #[value(name = "B7")]
    Synth,
    /// The monthly cost of metering, compared with a bare and an exact counter.
    #[value(name = "B8")]
    Bill,
    /// How many schedules per second the fault model checks.
    #[value(name = "B9")]
    Schedules,
    /// Scale in virtual time, against AWS's limits; draws a plot for each scenario.
    #[value(name = "B10")]
    Scale,
    /// Memory, open files and counts of the deployed `local` at its highest rate; only by name.
    #[value(name = "B11")]
    Soak,
}

impl BenchmarkId {
    /// Whether a run without names includes it: the others take long or need a deployment.
    const fn is_usual(self) -> bool {
        !matches!(self, Self::Freshness | Self::Soak)
    }
}

#[derive(Debug, Serialize)]
struct BenchmarkRun {
    machine: String,
    date: String,
    commit: String,
    results: Vec<Figure>,
}

pub(crate) async fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let usual = BenchmarkId::value_variants().iter().copied();
    let usual: Vec<_> = usual.filter(|id| id.is_usual()).collect();
    let ids = if args.ids.is_empty() {
        &usual
    } else {
        &args.ids
    };
    let asked = |of: &[BenchmarkId]| -> Vec<_> {
        let asked = ids.iter().copied().filter(|id| of.contains(id));
        asked.collect()
    };
    let mut results = Vec::new();
    let of_core = asked(&[
        BenchmarkId::Cpu,
        BenchmarkId::Cost,
        BenchmarkId::Schedules,
        BenchmarkId::Scale,
    ]);
    if !of_core.is_empty() {
        results.extend(pipeline::figures(context, &of_core, args).await?);
    }
    let of_host = asked(&[BenchmarkId::AuthorizerTimes, BenchmarkId::ColdStart]);
    if !of_host.is_empty() {
        results.extend(host::figures(context, &of_host).await?);
    }
    let of_local = asked(&[BenchmarkId::Freshness, BenchmarkId::Soak]);
    if !of_local.is_empty() {
        results.extend(local::figures(context, &of_local, args).await?);
    }
    if ids.contains(&BenchmarkId::Synth) {
        results.extend(synth::figures(context).await?);
    }
    if ids.contains(&BenchmarkId::Bill) {
        results.extend(bill::figures(context)?);
    }
    results.sort_by_key(|figure| figure.id);
    let answer = BenchmarkRun {
        machine: machine(),
        date: crate::clock::now().to_string(),
        commit: commit(context).await,
        results,
    };
    context.out.answer(&answer, table)?;
    Ok(Exit::Done)
}

/// Builds for release, each with its own features. Returns the folder.
async fn build(context: &Context, each: &[&[&str]]) -> anyhow::Result<PathBuf> {
    context
        .out
        .step("building for release; the first time takes minutes");
    for what in each {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let job = Job::new(program)
            .args(["build", "--release"])
            .args(*what)
            .current_dir(&context.root);
        let built = job.run(context.out).await;
        built.context(Stop::failed("the measured program was not built"))?;
    }
    // This program is `{target}/{profile}/xtask`.
    let own = std::env::current_exe().context("finding where this program is")?;
    let target = own.ancestors().nth(2).context("finding where builds go")?;
    Ok(target.join("release"))
}

fn names(ids: &[BenchmarkId]) -> impl Iterator<Item = String> {
    let ids = ids.iter().filter_map(BenchmarkId::to_possible_value);
    ids.map(|id| id.get_name().to_owned())
}

/// The output of a measuring program.
async fn read<T: DeserializeOwned>(job: Job) -> anyhow::Result<T> {
    let output = job.read().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Stop::failed(format!("the measuring program failed: {said}")).into());
    }
    serde_json::from_slice(&output.stdout).context("reading what was measured")
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == "model name");
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model.trim());
    format!("{cpus} × {model}")
}

/// The commit, and whether the tree has changed since.
async fn commit(context: &Context) -> String {
    let git = Job::new("git")
        .args(["describe", "--always", "--dirty", "--exclude", "*"])
        .current_dir(&context.root);
    let said = git.read().await;
    said.map_or_else(
        |_| "unknown".to_owned(),
        |said| String::from_utf8_lossy(&said.stdout).trim().to_owned(),
    )
}

fn table(answer: &BenchmarkRun) -> String {
    let mut rows =
        vec![["", "what", "value", "", "target", "met", "peer", "ratio"].map(String::from)];
    for figure in &answer.results {
        let met = figure.met.map(|met| if met { "yes" } else { "no" });
        rows.push([
            figure.id.to_owned(),
            figure.name.clone(),
            figure.value.to_string(),
            figure.unit.to_owned(),
            figure.target.clone().unwrap_or_default(),
            met.unwrap_or_default().to_owned(),
            figure.peer.clone().unwrap_or_default(),
            figure
                .ratio
                .map(|ratio| ratio.to_string())
                .unwrap_or_default(),
        ]);
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..8).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    });
    let BenchmarkRun {
        machine,
        date,
        commit,
        ..
    } = answer;
    format!(
        "{machine}, {date}, commit {commit}\n\n{}",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_figure_in_columns() {
        let answer = BenchmarkRun {
            machine: "m".into(),
            date: "d".into(),
            commit: "c".into(),
            results: vec![
                Figure::new("B1", "short", 1.0, "ms").at_most(2.0),
                Figure::new("B10", "a longer name", 1_000.5, "events/s").at_least(5.0),
                Figure::new("B2", "a third", 3.0, "µs")
                    .at_most(1.0)
                    .beside("peer", 2.0),
            ],
        };
        let text = table(&answer);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 4, "{text}");
        let column = lines[0].find("target");
        let at: Vec<_> = lines[1..]
            .iter()
            .map(|line| line.char_indices().position(|(_, c)| "≤≥".contains(c)))
            .collect();
        assert!(at.iter().all(|found| *found == column), "{text}");
    }
}
