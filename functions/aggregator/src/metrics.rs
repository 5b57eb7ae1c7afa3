//! The aggregator's metrics.

use domain::names::{PLAN_DIMENSION, kinesis_metric as name, plan_metric};
use domain::plan::Plans;
use domain::tally::Totals;
use domain::time::UnixMillis;
use runtime::metrics::{Metric, Metrics};

use crate::growth::Growth;
use crate::handler::{Folded, Ticked};

/// The metrics of a batch.
pub fn of_batch(folded: &Folded) -> Vec<Metric> {
    vec![
        Metric::count(name::TOTAL_API_CALLS, folded.gain.calls),
        Metric::count(name::AUTH_FAILURES, folded.gain.auth_failures),
        Metric::count(name::RATE_LIMITED, folded.gain.rate_limited),
        Metric::count(name::DUPLICATES_DROPPED, folded.gain.repeats),
        Metric::count(name::ITEMS_PARKED, folded.parked),
    ]
}

/// The metrics of a tick.
pub fn of_tick(ticked: &Ticked) -> Vec<Metric> {
    let mut metrics = of_batch(&ticked.folded);
    metrics.push(Metric::count(name::UNIQUE_USERS, ticked.users));
    metrics.push(Metric::count(name::RECONCILED_CALLS, ticked.reconciled));
    metrics
}

/// Emits the metrics of each plan whose counts grew. A plan that the environment file no longer has gets
/// none, so the number of metrics is bounded by the file.
pub fn emit_of_plans(metrics: Option<&Metrics>, plans: &Plans, at: UnixMillis, growth: &Growth) {
    let Some(metrics) = metrics else {
        return;
    };
    for (plan, grown) in &growth.0 {
        if plans.contains_key(plan) {
            metrics.of(PLAN_DIMENSION, plan).emit(at, &of_plan(grown));
        }
    }
}

fn of_plan(grown: &Totals) -> [Metric; 3] {
    [
        Metric::count(plan_metric::CALLS, grown.calls),
        Metric::count(plan_metric::UNITS, grown.units),
        Metric::count(plan_metric::RATE_LIMITED, grown.rate_limited),
    ]
}
