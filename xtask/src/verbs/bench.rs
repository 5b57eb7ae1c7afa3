//! `bench`: the cost and speed of the system, measured here and now.
//!
//! Times on a shared machine drift: only the ratio to a measurement of the same run is meaningful.
//! Nothing here fails for being slow.

mod bill;
mod plot;
mod scale;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use domain::names::Function;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::functions::{self, Effort};
use crate::jobs::Job;
use crate::local::{SuiteTools, Tools};
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The benchmarks; all by default
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<BenchmarkId>,
    /// Folder for plots
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) plots: PathBuf,
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
}

/// The crate of the measuring program and its subjects: examples of the function host.
const HOST: &str = "lambda-host";
const MEASURING: &str = "bench";
const TRIVIAL: &str = "probe";
/// The crate that measures the counting core: a program of the suites.
const SUITES: &str = "tests";
const OF_CORE: &str = "bench";

#[derive(Debug, Serialize)]
struct BenchmarkRun {
    machine: String,
    date: String,
    commit: String,
    results: Vec<Figure>,
}

/// One figure, and its references.
#[derive(Debug, Serialize)]
struct Figure {
    id: &'static str,
    name: String,
    value: f64,
    unit: &'static str,
    target: Option<String>,
    met: Option<bool>,
    /// The peer measured beside it.
    peer: Option<String>,
    /// The ratio of the value to the peer's.
    ratio: Option<f64>,
}

/// Runs a command repeatedly, the first time unmeasured. Prints the seconds of each run, shortest
/// first, and the kilobytes of the largest run.
const TIMES: &str = "\
import json, resource, subprocess, sys, time

def run():
    began = time.perf_counter()
    subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began

run()
seconds = sorted(run() for _ in range(21))
kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({'seconds': seconds, 'kilobytes': kilobytes}))
";

/// The output of [`TIMES`].
#[derive(Debug, Deserialize)]
struct Times {
    seconds: Vec<f64>,
    kilobytes: u32,
}

/// The output of the measuring program.
#[derive(Debug, Deserialize)]
struct HostReport {
    #[serde(rename = "B2")]
    answers: Option<AuthorizerTimes>,
    #[serde(rename = "B3")]
    cold: Option<Cold>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizerTimes {
    warm: Spread,
    warm_frozen: Spread,
    rate: u32,
    paced: Paced,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paced {
    one_floor: Spread,
    one_authorizer: Spread,
    floor: Spread,
    authorizer: Spread,
    slow_stream: Spread,
    dead_stream: Spread,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cold {
    trivial: Spread,
    authorizer: Spread,
    bare_node: Spread,
}

/// The output of the program that measures the counting core.
#[derive(Debug, Deserialize)]
struct CoreReport {
    #[serde(rename = "B1")]
    cpu: Option<Cpu>,
    #[serde(rename = "B4")]
    cost: Option<Vec<Cost>>,
    #[serde(rename = "B9")]
    schedules: Option<Schedules>,
    #[serde(rename = "B10")]
    scale: Option<scale::Scale>,
}

/// Events per CPU-second unless stated otherwise.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    batches_of_100: u32,
    batches_of_1000: u32,
    /// Events per second.
    slow_table: u32,
    processor_kilobytes: u32,
    entries_of_1000: u32,
    entries_of_100: u32,
    fold_kilobytes: u32,
}

/// The cost of a workload per 1,000 calls.
#[derive(Debug, Deserialize)]
struct Cost {
    name: String,
    total: Units,
}

#[derive(Debug, Deserialize)]
struct Units {
    writes: u32,
    reads: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schedules {
    per_second: u32,
    per_cpu_second: u32,
}

/// Nanoseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Spread {
    p50: u32,
    p99: u32,
}

/// The programs to measure.
struct Built {
    measuring: PathBuf,
    trivial: PathBuf,
    authorizer: PathBuf,
}

pub(crate) async fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let ids = if args.ids.is_empty() {
        BenchmarkId::value_variants()
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
        results.extend(figures_of_core(context, &of_core, &args.plots).await?);
    }
    let of_host = asked(&[BenchmarkId::AuthorizerTimes, BenchmarkId::ColdStart]);
    if !of_host.is_empty() {
        results.extend(figures_of_host(context, &of_host).await?);
    }
    if ids.contains(&BenchmarkId::Synth) {
        results.extend(of_synth(&time_synth(context).await?));
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

async fn figures_of_core(
    context: &Context,
    ids: &[BenchmarkId],
    plots: &Path,
) -> anyhow::Result<Vec<Figure>> {
    let release = build(context, &[&["-p", SUITES, "--bin", OF_CORE]]).await?;
    context
        .out
        .step("measuring; other load on this machine distorts the figures");
    let only = names(ids).flat_map(|name| ["--only".to_owned(), name]);
    let report: CoreReport = read(Job::new(release.join(OF_CORE)).args(only)).await?;
    let mut figures = Vec::new();
    figures.extend(report.cpu.iter().flat_map(of_cpu));
    figures.extend(report.cost.iter().flatten().flat_map(of_cost));
    figures.extend(report.schedules.iter().flat_map(of_schedules));
    if let Some(scale) = &report.scale {
        scale.draw(context, plots)?;
        figures.extend(scale.figures());
    }
    Ok(figures)
}

async fn figures_of_host(context: &Context, ids: &[BenchmarkId]) -> anyhow::Result<Vec<Figure>> {
    let tools = SuiteTools::ensure(context).await?;
    let function = Function::Authorizer.folder();
    // The function is built separately, so that it has no feature that only commands need.
    let of_host = ["-p", HOST, "--example", MEASURING, "--example", TRIVIAL];
    let release = build(context, &[&of_host, &["-p", function]]).await?;
    let built = Built {
        measuring: release.join("examples").join(MEASURING),
        trivial: release.join("examples").join(TRIVIAL),
        authorizer: release.join(function),
    };
    context
        .out
        .step("measuring; other load on this machine distorts the figures");
    let report = measure(&built, &tools.node(), ids).await?;
    let mut figures = Vec::new();
    if let Some(answers) = &report.answers {
        figures.extend(of_answers(answers));
    }
    if let Some(cold) = &report.cold {
        figures.extend(of_cold_starts(cold));
        figures.push(of_zip(&built.authorizer)?);
    }
    Ok(figures)
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

async fn measure(built: &Built, node: &Path, ids: &[BenchmarkId]) -> anyhow::Result<HostReport> {
    let job = Job::new(&built.measuring)
        .args([&built.trivial, &built.authorizer])
        .args([node])
        .args(names(ids));
    read(job).await
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

/// Synthesises all stacks with this very program, while the functions are built.
async fn time_synth(context: &Context) -> anyhow::Result<Times> {
    let tools = Tools::ensure(context).await?;
    context
        .out
        .step("measuring; other load on this machine distorts the figures");
    let own = std::env::current_exe().context("finding where this program is")?;
    let out = context.target().join("bench");
    let output = Job::new(tools.python())
        .args(["-c", TIMES])
        .args([&own])
        .args(["synth", "--out"])
        .args([&out])
        .read()
        .await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Stop::failed(format!("`synth` failed: {said}")).into());
    }
    serde_json::from_slice(&output.stdout).context("reading what was measured")
}

impl Figure {
    fn new(id: &'static str, name: &str, value: f64, unit: &'static str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            value,
            unit,
            target: None,
            met: None,
            peer: None,
            ratio: None,
        }
    }

    fn at_most(mut self, most: f64) -> Self {
        self.target = Some(format!("≤ {most:.1}"));
        self.met = Some(self.value <= most);
        self
    }

    fn at_least(mut self, least: f64) -> Self {
        self.target = Some(format!("≥ {least:.0}"));
        self.met = Some(self.value >= least);
        self
    }

    fn beside(mut self, peer: &str, value: f64) -> Self {
        self.peer = Some(format!("{peer}: {value:.1} {}", self.unit));
        self.ratio = Some((100.0 * self.value / value).round() / 100.0);
        self
    }
}

fn micros(nanos: u32) -> f64 {
    f64::from(nanos / 100) / 10.0
}

fn millis(nanos: u32) -> f64 {
    f64::from(nanos / 10_000) / 100.0
}

fn of_answers(answers: &AuthorizerTimes) -> Vec<Figure> {
    const ID: &str = "B2";
    // With enough instances, a slow or dead stream must not affect callers.
    const UNFELT: f64 = 1.05;
    let figure = |name: &str, nanos: u32| Figure::new(ID, name, micros(nanos), "µs");
    let paced = &answers.paced;
    let floor = |spread: Spread| ("trivial function", micros(spread.p50));
    let above_floor = |name: &str, spread: Spread, (peer, floor): (&str, f64)| {
        let figure = figure(name, spread.p50).at_most(floor + 200.0);
        figure.beside(peer, floor)
    };
    let at_once = micros(paced.authorizer.p50);
    let beside_at_once = |name: &str, spread: Spread| {
        let figure = figure(name, spread.p50).at_most(at_once * UNFELT);
        figure.beside("stream at once", at_once)
    };
    let rate = "trivial function, 4 instances";
    vec![
        figure("trivial function, warm, p50", answers.warm.p50).at_most(250.0),
        figure(
            "the same, frozen between calls, p50",
            answers.warm_frozen.p50,
        )
        .at_most(250.0),
        Figure::new(ID, rate, f64::from(answers.rate), "calls/s").at_least(10_000.0),
        above_floor(
            "authorizer, 1 instance, p50",
            paced.one_authorizer,
            floor(paced.one_floor),
        ),
        above_floor(
            "authorizer, 4 instances, p50",
            paced.authorizer,
            floor(paced.floor),
        ),
        figure("authorizer, 4 instances, p99", paced.authorizer.p99)
            .beside("trivial function", micros(paced.floor.p99)),
        beside_at_once("the same, stream takes 50 ms, p50", paced.slow_stream),
        beside_at_once("the same, stream unreachable, p50", paced.dead_stream),
    ]
}

fn of_cold_starts(cold: &Cold) -> Vec<Figure> {
    const ID: &str = "B3";
    let figure = |name: &str, nanos: u32| Figure::new(ID, name, millis(nanos), "ms");
    let node = millis(cold.bare_node.p50);
    vec![
        figure(
            "authorizer, start to first answer, p50",
            cold.authorizer.p50,
        )
        .at_most(15.0)
        .beside("Node.js without any SDK", node),
        figure(
            "authorizer, start to first answer, p99",
            cold.authorizer.p99,
        ),
        figure(
            "trivial function, start to first answer, p50",
            cold.trivial.p50,
        )
        .beside("Node.js without any SDK", node),
    ]
}

fn of_cpu(cpu: &Cpu) -> Vec<Figure> {
    const ID: &str = "B1";
    let rate =
        |name: &str, events: u32| Figure::new(ID, name, f64::from(events), "events per CPU-second");
    let memory =
        |name: &str, kilobytes: u32| Figure::new(ID, name, f64::from(kilobytes / 100) / 10.0, "MB");
    let slow = "one processor, 5 ms a table call, batches of 100";
    vec![
        rate("processor, batches of 100", cpu.batches_of_100).at_least(500_000.0),
        rate("processor, batches of 1,000", cpu.batches_of_1000).at_least(500_000.0),
        memory("the same, peak memory", cpu.processor_kilobytes),
        Figure::new(ID, slow, f64::from(cpu.slow_table), "events/s").at_least(10_000.0),
        rate("folding, entries of 1,000", cpu.entries_of_1000).at_least(1_000_000.0),
        rate("folding, entries of 100", cpu.entries_of_100).at_least(1_000_000.0),
        memory(
            "folding a minute of 600,000 events, peak memory",
            cpu.fold_kilobytes,
        ),
    ]
}

/// The most write and read units that each workload may take.
fn most_units(work: &str) -> Option<(f64, f64)> {
    let most = match work {
        "W1" => (120.0, 200.0),
        "W2" => (200.0, 200.0),
        "W3" => (450.0, 200.0),
        "W4" => (90.0, 200.0),
        "W5" => (900.0, 700.0),
        "W5, fold window 10 s" => (1_800.0, 700.0),
        "W6" => (1_900.0, 700.0),
        _ => return None,
    };
    Some(most)
}

fn of_cost(cost: &Cost) -> [Figure; 2] {
    let figure = |what: &str, units: u32| {
        let name = format!("{}, {what}", cost.name);
        Figure::new("B4", &name, f64::from(units), "units per 1,000 calls")
    };
    let writes = figure("writes", cost.total.writes);
    let reads = figure("reads", cost.total.reads);
    match most_units(&cost.name) {
        Some((most_writes, most_reads)) => [writes.at_most(most_writes), reads.at_most(most_reads)],
        None => [writes, reads],
    }
}

fn of_schedules(schedules: &Schedules) -> [Figure; 2] {
    const ID: &str = "B9";
    let rate = |name: &str, schedules: u32, unit| Figure::new(ID, name, schedules.into(), unit);
    let (wall, cpu) = (schedules.per_second, schedules.per_cpu_second);
    [
        rate("fault model, all processors", wall, "schedules/s").at_least(2_000.0),
        rate("the same, of one", cpu, "schedules per CPU-second"),
    ]
}

/// The deployed size: this machine's binary, zipped as a deploy zips it.
fn of_zip(binary: &Path) -> anyhow::Result<Figure> {
    let binary = std::fs::read(binary).context("reading the authorizer's binary")?;
    let bytes =
        u32::try_from(functions::zipped(&binary, Effort::Most)?.len()).context("sizing the zip")?;
    let megabytes = f64::from(bytes / 10_000) / 100.0;
    Ok(Figure::new("B3", "authorizer, zip", megabytes, "MB").at_most(4.5))
}

fn of_synth(times: &Times) -> Vec<Figure> {
    const ID: &str = "B7";
    let median = times.seconds.get(times.seconds.len() / 2);
    let millis = (median.copied().unwrap_or_default() * 10_000.0).round() / 10.0;
    let megabytes = f64::from(times.kilobytes / 100) / 10.0;
    vec![
        Figure::new(ID, "synth of all stacks, p50", millis, "ms").at_most(60.0),
        Figure::new(ID, "the same, peak memory", megabytes, "MB").at_most(30.0),
    ]
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

    fn spread(p50: u32) -> Spread {
        Spread { p50, p99: 2 * p50 }
    }

    fn answers(slow: u32) -> AuthorizerTimes {
        AuthorizerTimes {
            warm: spread(120_000),
            warm_frozen: spread(260_000),
            rate: 12_000,
            paced: Paced {
                one_floor: spread(200_000),
                one_authorizer: spread(401_000),
                floor: spread(200_000),
                authorizer: spread(300_000),
                slow_stream: spread(slow),
                dead_stream: spread(300_000),
            },
        }
    }

    #[test]
    fn figures_are_held_against_targets_and_peers_of_the_same_run() {
        let met: Vec<_> = of_answers(&answers(314_000))
            .iter()
            .map(|figure| figure.met)
            .collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(met, [yes, no, yes, no, yes, None, yes, yes]);
        let slow = &of_answers(&answers(330_000))[6];
        assert_eq!((slow.met, slow.ratio), (no, Some(1.1)));
        assert_eq!(slow.peer.as_deref(), Some("stream at once: 300.0 µs"));
    }

    #[test]
    fn the_core_is_held_against_what_it_must_reach() {
        let text = r#"{
            "B1": {
                "batchesOf100": 500000, "batchesOf1000": 499999, "slowTable": 10000,
                "processorKilobytes": 15780, "entriesOf1000": 1000000, "entriesOf100": 999999,
                "foldKilobytes": 97668
            },
            "B4": [
                {"name": "W1", "calls": 9, "total": {"writes": 120, "reads": 201}},
                {"name": "W7", "calls": 9, "total": {"writes": 1, "reads": 1}}
            ],
            "B9": {"checked": 1, "seconds": 1.5, "perSecond": 1999, "perCpuSecond": 1200}
        }"#;
        let report: CoreReport = serde_json::from_str(text).unwrap();
        let met = |figures: &[Figure]| -> Vec<_> { figures.iter().map(|of| of.met).collect() };
        let (yes, no) = (Some(true), Some(false));
        let cpu = of_cpu(&report.cpu.unwrap());
        assert_eq!(met(&cpu), [yes, no, None, yes, yes, no, None]);
        let cost = report.cost.unwrap();
        assert_eq!(met(&of_cost(&cost[0])), [yes, no]);
        assert_eq!(met(&of_cost(&cost[1])), [None, None]);
        let schedules = of_schedules(&report.schedules.unwrap());
        assert_eq!(met(&schedules), [no, None]);
    }

    #[test]
    fn synth_is_held_against_the_median_of_its_runs() {
        let times = Times {
            seconds: vec![0.010, 0.045_67, 0.9],
            kilobytes: 31_000,
        };
        let figures = of_synth(&times);
        let told: Vec<_> = figures
            .iter()
            .map(|figure| (figure.value, figure.met))
            .collect();
        assert_eq!(told, [(45.7, Some(true)), (31.0, Some(false))]);
    }

    #[test]
    fn the_table_has_a_line_for_each_figure_in_columns() {
        let answer = BenchmarkRun {
            machine: "m".into(),
            date: "d".into(),
            commit: "c".into(),
            results: of_answers(&answers(300_000)),
        };
        let text = table(&answer);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 9, "{text}");
        let column = lines[0].find("target");
        let at: Vec<_> = lines[1..5]
            .iter()
            .map(|line| line.char_indices().position(|(_, c)| "≤≥".contains(c)))
            .collect();
        assert!(at.iter().all(|found| *found == column), "{text}");
    }
}
