//! The aggregator's metrics.

use domain::names::kinesis_metric as name;
use runtime::metrics::Metric;

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
