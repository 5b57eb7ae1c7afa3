//! Makes a failing schedule short enough to read.

use tokio::runtime::Runtime;

use super::schedule::Schedule;
use super::{Violation, attempt};

/// The fewest steps of a seed's schedule that still produce a violation.
pub(super) fn shrunk(runtime: &Runtime, seed: u64, wrong: String) -> Violation {
    let mut schedule = Schedule::draw(seed);
    let mut wrong = wrong;
    let mut length = schedule.steps.len();
    while length > 0 {
        let mut at = 0;
        let mut dropped = false;
        while at < schedule.steps.len() {
            let mut fewer = schedule.clone();
            let end = (at + length).min(fewer.steps.len());
            fewer.steps.drain(at..end);
            match attempt(runtime, &fewer) {
                Err(still) => {
                    (schedule, wrong) = (fewer, still);
                    dropped = true;
                }
                Ok(()) => at += length,
            }
        }
        if !dropped || length > schedule.steps.len() {
            length /= 2;
        }
    }
    let mut lines = vec![format!("{} {:?}", schedule.start, schedule.pipeline)];
    lines.extend(schedule.steps.iter().map(|step| {
        format!(
            "{:?}, {} turns, seed {}",
            step.action, step.turns, step.seed
        )
    }));
    Violation {
        seed,
        wrong,
        shrunk: lines,
    }
}
