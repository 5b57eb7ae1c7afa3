//! What came of a scenario.

use serde::Serialize;

/// Seconds between two samples.
pub(super) const SAMPLE_SECONDS: u64 = 10;

/// Figures of a scenario, and how they came about.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub(super) name: &'static str,
    /// Calls that came.
    pub(super) calls: u64,
    /// Callers that were refused for want of a quota.
    pub(super) refused: u64,
    /// Records that were given up.
    pub(super) lost: u64,
    /// Calls that reached the journal.
    pub(super) journalled: u64,
    /// Of these, those that the authorizer appended itself.
    pub(super) directly: u64,
    /// Puts that a shard refused.
    pub(super) shard_throttles: u64,
    /// Batches that the processor failed, and that were tried again.
    pub(super) retries: u64,
    /// Appends that went to spread keys.
    pub(super) spread_appends: u64,
    /// The most instances of all functions at a time.
    pub(super) most_instances: u64,
    /// The longest that a record waited on the stream, in seconds.
    pub(super) longest_stream_lag_seconds: u64,
    /// The longest that a call waited for its fold, in seconds.
    pub(super) longest_fold_lag_seconds: u64,
    /// Seconds from the last call, or the end of the outage, until nothing waited any more.
    pub(super) caught_up_after_seconds: Option<u64>,
    /// Write units, by 1,000 calls.
    pub(super) writes_per_thousand: u64,
    /// What gave, first of all first.
    pub(super) gave: Vec<String>,
    /// One every ten seconds.
    pub(super) samples: Vec<Sample>,
}

/// A moment.
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
    /// Notes that something gave, once.
    pub(super) fn gives(&mut self, second: u64, what: &str) {
        if !self.gave.iter().any(|gave| gave.ends_with(what)) {
            self.gave.push(format!("after {second} s: {what}"));
        }
    }
}
