//! Runs the fault model and reports its findings: one JSON document on stdout, violations on
//! stderr.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::faults::{Extent, run};

/// Runs randomised schedules of traffic and faults, and compares every count with an oracle's.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of schedules to run.
    schedules: u64,
    /// Seed of the first schedule; it increases by one with each schedule.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads, each with its own schedules; by default as many as there are processors.
    #[arg(long)]
    threads: Option<usize>,
    /// Do not report progress.
    #[arg(long)]
    quiet: bool,
}

/// Interval of progress reports.
const PROGRESS: Duration = Duration::from_secs(10);

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    // A schedule that panics is reported as a violation, if panics can be caught.
    if cfg!(panic = "unwind") {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let extent = Extent {
        schedules: arguments.schedules,
        seed: arguments.seed,
        threads: arguments
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        within: None,
    };
    let told = Mutex::new(Instant::now());
    let report = run(extent, |done| {
        if let Ok(mut told) = told.lock()
            && told.elapsed() >= PROGRESS
            && !arguments.quiet
        {
            *told = Instant::now();
            // It does not matter if nobody reads it.
            let _ = writeln!(io::stderr(), "{done} of {} schedules", arguments.schedules);
        }
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
