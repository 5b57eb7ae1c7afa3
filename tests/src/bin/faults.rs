//! Runs the fault model and says what it found: one JSON document on stdout, violations on stderr.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tests::faults::{Extent, run};

/// Runs randomised schedules of traffic and faults, and compares every count with an oracle's.
#[derive(Debug, Parser)]
struct Arguments {
    /// Schedules to run.
    schedules: u64,
    /// Seed of the first schedule; each further one's is one more.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads, each with schedules of its own; as many as there are processors unless given.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    // A schedule that panics is a violation and is told as one, where panics can be caught.
    if cfg!(panic = "unwind") {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let report = run(Extent {
        schedules: arguments.schedules,
        seed: arguments.seed,
        threads: arguments
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        within: None,
    });
    for violation in &report.violations {
        writeln!(io::stderr(), "{violation}\n")?;
    }
    serde_json::to_writer(io::stdout(), &report)?;
    writeln!(io::stdout())?;
    Ok(if report.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
