//! A batch: records that are invoked, retried, split and given up together.

use super::Millis;

/// A record in a lane.
#[derive(Debug, Clone)]
pub(super) struct Entry<P> {
    /// Position in the order in which the shard was read.
    pub(super) ordinal: u64,
    pub(super) sequence: String,
    pub(super) arrived: Millis,
    pub(super) bytes: usize,
    pub(super) payload: P,
}

/// Records that travel together.
#[derive(Debug)]
pub(super) struct Batch<P> {
    pub(super) entries: Vec<Entry<P>>,
    /// Retries used up of the quota.
    pub(super) retries: u32,
    /// How often the function ran with these records.
    pub(super) invocations: u32,
    pub(super) not_before: Millis,
}

impl<P> Batch<P> {
    pub(super) fn new(entries: Vec<Entry<P>>, now: Millis) -> Self {
        Self {
            entries,
            retries: 0,
            invocations: 0,
            not_before: now,
        }
    }

    /// Splits off everything from `at` on. Both parts keep the retries used so far.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        Self {
            entries: self.entries.split_off(at),
            retries: self.retries,
            invocations: self.invocations,
            not_before: self.not_before,
        }
    }
}

/// An invocation to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation<P> {
    /// Identifies the invocation in [`Event::Finished`](super::Event::Finished).
    pub id: u64,
    /// The shard of all records.
    pub shard: String,
    /// The records' payloads, in order.
    pub records: Vec<P>,
    /// Arrival of the last record: `IteratorAge` is its age at the end of the invocation.
    pub last_arrived: Millis,
}

/// Why records were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// `MaximumRetryAttempts` is used up.
    RetryAttemptsExhausted,
    /// The records are older than `MaximumRecordAgeInSeconds`.
    RecordAgeExceeded,
}

/// Records that were given up, as reported to the on-failure destination: metadata without the
/// records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discarded {
    /// The reason.
    pub condition: Condition,
    /// The shard.
    pub shard: String,
    /// First sequence number.
    pub first: String,
    /// Last sequence number.
    pub last: String,
    /// Arrival of the first record.
    pub first_arrived: Millis,
    /// Arrival of the last record.
    pub last_arrived: Millis,
    /// Number of records.
    pub records: usize,
    /// How often the function ran with them.
    pub invocations: u32,
}
