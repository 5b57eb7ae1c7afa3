//! Runs the fault model and says what it found: one JSON document on stdout, violations on stderr.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

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
    /// Do not say how many are done.
    #[arg(long)]
    quiet: bool,
}

/// How often it is said how many are done.
const PROGRESS: Duration = Duration::from_secs(10);

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    // A schedule that panics is a violation and is told as one, where panics can be caught.
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
            // Nobody reads it: no reason to stop.
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
