//! B9: how many randomised schedules per second the fault model checks.

use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use super::per_second;
use super::process::CpuClock;
use crate::faults::{Extent, run};

/// Number of schedules per measurement, with seeds from 0 on.
const SCHEDULES: u64 = 20_000;

/// The results.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedules {
    /// Number of schedules.
    checked: u64,
    /// Duration in seconds.
    seconds: f64,
    /// Schedules per second, on all processors.
    per_second: u64,
    /// Schedules per second of CPU time, which other load on the machine does not affect.
    per_cpu_second: u64,
}

/// Runs the fault model on all processors.
///
/// # Errors
///
/// A count was wrong: then the speed is meaningless.
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
