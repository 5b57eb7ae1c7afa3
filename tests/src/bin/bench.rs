//! Measures the cost of the counting core and prints one JSON document with a member for each
//! benchmark.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde::Serialize;
use tests::bench::cost::{self, Cost};
use tests::bench::cpu::{self, Cpu};
use tests::bench::peer::{self, Compared, Peer};
use tests::bench::scale::{self, Scale};
use tests::bench::schedules::{self, Schedules};

/// Measures the counting core in this process. `cargo xtask bench` builds this and shows the figures
/// beside their targets.
#[derive(Debug, Parser)]
struct Arguments {
    /// The benchmarks to run; all by default.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<Id>,
    /// Measures the processor beside the one in this script, run by this Node.js.
    #[arg(long, value_names = ["NODE", "SCRIPT"], num_args = 2)]
    peer: Option<Vec<PathBuf>>,
    /// Serves a table that answers every call with nothing after this many milliseconds, instead of
    /// measuring.
    #[arg(long, value_name = "MILLISECONDS", hide = true, exclusive = true)]
    stub: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Id {
    /// CPU time and memory of the processor and the fold.
    #[value(name = "B1")]
    Cpu,
    /// Write and read units per 1,000 calls.
    #[value(name = "B4")]
    Cost,
    /// Schedules of the fault model per second.
    #[value(name = "B9")]
    Schedules,
    /// Scale in virtual time.
    #[value(name = "B10")]
    Scale,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    #[serde(rename = "B1", skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(rename = "B1Peer", skip_serializing_if = "Option::is_none")]
    peer: Option<Compared>,
    #[serde(rename = "B4", skip_serializing_if = "Option::is_none")]
    cost: Option<Vec<Cost>>,
    #[serde(rename = "B9", skip_serializing_if = "Option::is_none")]
    schedules: Option<Schedules>,
    #[serde(rename = "B10", skip_serializing_if = "Option::is_none")]
    scale: Option<Scale>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(delay) = arguments.stub {
        return peer::serve_stub(Duration::from_millis(delay));
    }
    let is_asked = |id| arguments.only.is_empty() || arguments.only.contains(&id);
    let mut report = Report::default();
    // First, because it reads the process's peak memory, which the others raise.
    if is_asked(Id::Cpu) {
        report.cpu = Some(cpu::measure());
        if let Some([node, script]) = arguments.peer.as_deref() {
            let (node, script) = (node.clone(), script.clone());
            report.peer = Some(peer::measure(&Peer { node, script })?);
        }
    }
    if is_asked(Id::Cost) {
        report.cost = Some(cost::measure());
    }
    if is_asked(Id::Schedules) {
        report.schedules = Some(schedules::measure()?);
    }
    if is_asked(Id::Scale) {
        report.scale = Some(scale::measure());
    }
    serde_json::to_writer(io::stdout(), &report)?;
    writeln!(io::stdout())?;
    Ok(())
}
