//! B1, B4, B9 and B10: the counting core, measured in one process.

use std::path::PathBuf;

use serde::Deserialize;

use super::figure::Figure;
use super::{Arguments, BenchmarkId, build, names, read, scale};
use crate::context::Context;
use crate::jobs::Job;
use crate::local::SuiteTools;

/// The crate that measures the counting core: a program of the suites.
const SUITES: &str = "tests";

const OF_CORE: &str = "bench";

/// The output of the program that measures the counting core.
#[derive(Debug, Deserialize)]
struct CoreReport {
    #[serde(rename = "B1")]
    cpu: Option<Cpu>,
    #[serde(rename = "B1Peer")]
    compared: Option<Compared>,
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

/// The processor with the AWS SDK, and the peer in Node.js.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    /// Events per CPU-second.
    batches_of_100: Pair,
    batches_of_1000: Pair,
    /// Events per second.
    slow_table: Pair,
}

#[derive(Debug, Deserialize)]
struct Pair {
    ours: u32,
    peer: u32,
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

pub(super) async fn figures(
    context: &Context,
    ids: &[BenchmarkId],
    args: &Arguments,
) -> anyhow::Result<Vec<Figure>> {
    let peer = peer(context, args).await?;
    let release = build(context, &[&["-p", SUITES, "--bin", OF_CORE]]).await?;
    context
        .out
        .step("measuring; other load on this machine distorts the figures");
    let only = names(ids).flat_map(|name| ["--only".to_owned(), name]);
    let report: CoreReport = read(Job::new(release.join(OF_CORE)).args(only).args(peer)).await?;
    let mut figures = Vec::new();
    figures.extend(report.cpu.iter().flat_map(of_cpu));
    figures.extend(report.compared.iter().flat_map(of_peer));
    figures.extend(report.cost.iter().flatten().flat_map(of_cost));
    figures.extend(report.schedules.iter().flat_map(of_schedules));
    if let Some(scale) = &report.scale {
        scale.draw(context, &args.plots)?;
        figures.extend(scale.figures());
    }
    Ok(figures)
}

/// The arguments that have the peer measured too.
async fn peer(context: &Context, args: &Arguments) -> anyhow::Result<Vec<PathBuf>> {
    if !args.peer {
        return Ok(Vec::new());
    }
    let tools = SuiteTools::ensure(context).await?;
    let script = tools.peer(context).await?.join("measure.mjs");
    Ok(vec!["--peer".into(), tools.node(), script])
}

fn of_peer(compared: &Compared) -> [Figure; 3] {
    let beside = |name: &str, pair: &Pair, unit| {
        let (ours, peer) = (f64::from(pair.ours), f64::from(pair.peer));
        Figure::new("B1", name, ours, unit).beside("Node.js", peer)
    };
    let cpu = |name: &str, pair: &Pair, least: f64| {
        let figure = beside(name, pair, "events per CPU-second");
        figure.at_least(least * f64::from(pair.peer))
    };
    let slow = "with the SDK, 5 ms a call, batches of 100";
    [
        cpu(
            "with the SDK, batches of 100",
            &compared.batches_of_100,
            40.0,
        ),
        cpu(
            "with the SDK, batches of 1,000",
            &compared.batches_of_1000,
            20.0,
        ),
        beside(slow, &compared.slow_table, "events/s")
            .at_least(20.0 * f64::from(compared.slow_table.peer)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_held_against_what_it_must_reach() {
        let text = r#"{
            "B1": {
                "batchesOf100": 500000, "batchesOf1000": 499999, "slowTable": 10000,
                "processorKilobytes": 15780, "entriesOf1000": 1000000, "entriesOf100": 999999,
                "foldKilobytes": 97668
            },
            "B1Peer": {
                "batchesOf100": {"ours": 400, "peer": 10}, "batchesOf1000": {"ours": 199, "peer": 10},
                "slowTable": {"ours": 200, "peer": 10}
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
        let peer = of_peer(&report.compared.unwrap());
        assert_eq!(met(&peer), [yes, no, yes]);
        assert_eq!(peer[0].ratio, Some(40.0));
        let cost = report.cost.unwrap();
        assert_eq!(met(&of_cost(&cost[0])), [yes, no]);
        assert_eq!(met(&of_cost(&cost[1])), [None, None]);
        let schedules = of_schedules(&report.schedules.unwrap());
        assert_eq!(met(&schedules), [no, None]);
    }
}
