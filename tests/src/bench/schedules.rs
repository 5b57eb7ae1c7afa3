//! B9: how many randomised schedules the fault model checks in a second.

use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use super::per_second;
use super::process::CpuClock;
use crate::faults::{Extent, run};

/// Schedules of a measurement, those of the seeds from 0 on.
const SCHEDULES: u64 = 20_000;

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedules {
    /// Schedules run.
    checked: u64,
    /// Seconds that took.
    seconds: f64,
    /// Schedules a second, on all processors.
    per_second: u64,
    /// Schedules per second of CPU time: what other work on the machine does not change.
    per_cpu_second: u64,
}

/// Runs the fault model on all processors.
///
/// # Errors
///
/// A count was wrong: how fast that was found is no figure.
pub fn measure() -> anyhow::Result<Schedules> {
    let extent = Extent {
        schedules: SCHEDULES,
        seed: 0,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        within: None,
    };
    let clock = CpuClock::start();
    let report = run(extent, |_| ());
    let used = clock.used();
    if let Some(violation) = report.violations.first() {
        bail!("the fault model found a wrong count: {violation}");
    }
    let took = Duration::from_secs_f64(report.seconds);
    Ok(Schedules {
        checked: report.schedules,
        seconds: report.seconds,
        per_second: per_second(report.schedules, took),
        per_cpu_second: per_second(report.schedules, used),
    })
}
