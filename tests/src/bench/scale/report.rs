//! The result of a scenario.

use serde::Serialize;

/// Seconds between two samples.
pub(super) const SAMPLE_SECONDS: u64 = 10;

/// The figures of a scenario, and its course.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub(super) name: &'static str,
    /// Number of calls.
    pub(super) calls: u64,
    /// Calls refused for lack of quota.
    pub(super) refused: u64,
    /// Records that were given up.
    pub(super) lost: u64,
    /// Calls that reached the journal.
    pub(super) journalled: u64,
    /// Calls that the authorizer appended itself.
    pub(super) directly: u64,
    /// Puts that a shard refused.
    pub(super) shard_throttles: u64,
    /// Batches that failed and were retried.
    pub(super) retries: u64,
    /// Appends to spread keys.
    pub(super) spread_appends: u64,
    /// The most concurrent instances of all functions.
    pub(super) most_instances: u64,
    /// The longest wait of a record on the stream, in seconds.
    pub(super) longest_stream_lag_seconds: u64,
    /// The longest wait of a call for its fold, in seconds.
    pub(super) longest_fold_lag_seconds: u64,
    /// Seconds from the last call, or the end of the outage, until no backlog was left.
    pub(super) caught_up_after_seconds: Option<u64>,
    /// Write units per 1,000 calls.
    pub(super) writes_per_thousand: u64,
    /// Bottlenecks, in the order in which they appeared.
    pub(super) gave: Vec<String>,
    /// One sample every ten seconds.
    pub(super) samples: Vec<Sample>,
}

/// A sample.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sample {
    pub(super) second: u64,
    pub(super) calls_per_second: u64,
    pub(super) refused_per_second: u64,
    pub(super) stream_lag_seconds: u64,
    pub(super) fold_lag_seconds: u64,
    pub(super) instances: u64,
}

impl Report {
    /// Records a bottleneck, once.
    pub(super) fn gives(&mut self, second: u64, what: &str) {
        if !self.gave.iter().any(|gave| gave.ends_with(what)) {
            self.gave.push(format!("after {second} s: {what}"));
        }
    }
}
