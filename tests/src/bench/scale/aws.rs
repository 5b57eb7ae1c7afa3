//! AWS's limits, as far as they affect traffic.

/// Requests per second that one instance of a function handles
/// (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html>).
pub(super) const CALLS_AN_INSTANCE: u64 = 10;
/// Instances that a function gains in ten seconds, all of them at once if it was idle
/// (<https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html>).
const INSTANCES_IN_TEN_SECONDS: u64 = 1_000;
/// Records that a shard accepts per second.
pub(super) const SHARD_RECORDS: u64 = 1_000;
/// Write units that one partition key accepts per second.
pub(super) const KEY_WRITES: u64 = 1_000;
/// Write units that a table on demand accepts per second once it has grown: the default quota. A
/// new table accepts 4,000.
const TABLE_WRITES: u64 = 40_000;

/// The quotas of an account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quotas {
    /// Requests per second of the gateway, and its burst.
    pub(super) gateway_rate: u64,
    pub(super) gateway_burst: u64,
    /// Instances of all functions.
    pub(super) concurrency: u64,
    /// Write units per second of each table.
    pub(super) table_writes: u64,
}

impl Quotas {
    /// The quotas of an account that has requested no increases, with its tables warmed.
    pub(super) const DEFAULT: Self = Self {
        gateway_rate: 10_000,
        gateway_burst: 5_000,
        concurrency: 1_000,
        table_writes: TABLE_WRITES,
    };
}

/// A token bucket with a refill rate and a capacity: AWS's throttles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    per_second: u64,
    holds: u64,
    /// Thousandths.
    level: u64,
}

impl Bucket {
    pub(super) const fn new(per_second: u64, holds: u64) -> Self {
        Self {
            per_second,
            holds,
            level: holds * 1_000,
        }
    }

    pub(super) fn refill(&mut self, millis: u64) {
        let level = self
            .level
            .saturating_add(self.per_second.saturating_mul(millis));
        self.level = level.min(self.holds * 1_000);
    }

    /// Takes as many of `wanted` as the bucket holds.
    pub(super) fn take(&mut self, wanted: u64) -> u64 {
        let taken = wanted.min(self.level / 1_000);
        self.level -= taken * 1_000;
        taken
    }

    /// Takes all of `wanted`, or nothing.
    pub(super) fn take_all(&mut self, wanted: u64) -> bool {
        let there = self.level / 1_000 >= wanted;
        if there {
            self.level -= wanted * 1_000;
        }
        there
    }
}

/// The instances of one function.
#[derive(Debug)]
pub(super) struct Instances {
    pub(super) running: u64,
    growth: Bucket,
}

impl Instances {
    pub(super) const fn new() -> Self {
        Self {
            running: 0,
            growth: Bucket::new(INSTANCES_IN_TEN_SECONDS / 10, INSTANCES_IN_TEN_SECONDS),
        }
    }

    /// Grows towards `wanted` as far as AWS allows and the account has room. Surplus instances
    /// stay: Lambda keeps them for minutes.
    pub(super) fn grow(&mut self, wanted: u64, room: u64, millis: u64) {
        self.growth.refill(millis);
        let missing = wanted.min(room).saturating_sub(self.running);
        self.running = (self.running + self.growth.take(missing)).min(room);
    }
}
