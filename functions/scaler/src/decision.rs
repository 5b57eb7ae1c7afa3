//! How many shards the stream should have: pure, from what was measured.
//!
//! What a shard takes: <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>.
//! What a change may be: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>.
//!
//! The rules differ by direction, because the risks do. Too few shards cost a table write for each
//! call that the stream refuses, so the stream grows after a single busy minute. Too many cost some
//! cents an hour, so it shrinks after three quiet hours, and only while four of the day's changes are
//! left for growing: four doublings are sixteen times the load.

use std::collections::BTreeMap;

use domain::time::UnixMillis;

/// Bytes that a shard takes a minute.
const SHARD_BYTES: u64 = 60 * 1_000_000;
/// Records that a shard takes a minute.
const SHARD_RECORDS: u64 = 60 * 1_000;
/// Loads are counted in thousandths of a shard.
const WHOLE: u64 = 1_000;
/// A minute with more than this share of what the stream takes makes it grow, in thousandths.
const BUSY: u64 = 750;
/// What the busiest minute may take of the stream after a change, in thousandths. Well under
/// [`BUSY`], so that a change is not followed by the opposite one.
const AIM: u64 = 500;
/// Milliseconds of the past whose minutes make the stream grow. CloudWatch shows a minute up to three
/// minutes after its end.
const RECENT: i64 = 5 * 60_000;
/// Milliseconds of calm before the stream shrinks.
pub const CALM: i64 = 3 * 3_600_000;
/// Milliseconds of AWS's rolling day. Ten minutes more, because a change is seen only after it is
/// done, and CloudWatch rounds to minutes.
pub const DAY: i64 = (24 * 60 + 10) * 60_000;
/// Changes that AWS allows in a rolling day.
const CHANGES: usize = 10;
/// Changes of a day after which the stream does not shrink any more: the rest are for growing.
const CHANGES_TO_SHRINK: usize = 6;

/// What the stream took in one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes that were put.
    pub bytes: u64,
    /// Records that were put.
    pub records: u64,
    /// Records that were refused for want of capacity.
    pub throttled: u64,
}

/// What CloudWatch knows of the stream, by the start of each minute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    /// Minutes in which anything was put.
    pub loads: BTreeMap<UnixMillis, Load>,
    /// The shards that the stream had, where the scaler looked while none was being made.
    pub shards: BTreeMap<UnixMillis, u32>,
}

/// Between how many shards the stream may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The fewest.
    pub least: u32,
    /// The most.
    pub most: u32,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The stream stays as it is.
    Stay,
    /// The stream is to have so many shards.
    Change(u32),
    /// The stream needs more shards and cannot get them.
    Refused(Refusal),
}

/// Why a stream that needs more shards does not get them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has as many shards as it may.
    Most,
    /// The day's changes are spent.
    Spent,
    /// AWS refused: a quota of the account, or changes that others made.
    Quota,
}

impl Load {
    /// What of a shard it takes, in thousandths.
    fn shards(&self) -> u64 {
        let bytes = self.bytes.saturating_mul(WHOLE).div_ceil(SHARD_BYTES);
        let records = self.records.saturating_mul(WHOLE).div_ceil(SHARD_RECORDS);
        bytes.max(records)
    }
}

/// What a day of observations says about changes.
struct History {
    /// How often the number of shards changed.
    changes: usize,
    /// Since when the stream is known to have the shards that it has.
    unchanged_since: UnixMillis,
}

impl History {
    fn of(series: &Series, current: u32, now: UnixMillis) -> Self {
        let day = series.shards.range(now.plus_millis(-DAY)..);
        let seen = day.map(|(at, shards)| (*at, *shards));
        let mut before = None;
        let mut history = Self {
            changes: 0,
            unchanged_since: now,
        };
        for (at, shards) in seen.chain([(now, current)]) {
            match before {
                Some(same) if same == shards => {}
                None => history.unchanged_since = at,
                Some(_) => {
                    history.changes += 1;
                    history.unchanged_since = at;
                }
            }
            before = Some(shards);
        }
        history
    }
}

/// What to do at `now` with a stream of `current` shards, none of which is being made.
pub fn decide(series: &Series, now: UnixMillis, current: u32, bounds: Bounds) -> Decision {
    let history = History::of(series, current, now);
    let spent = history.changes >= CHANGES;
    if current > bounds.most {
        return if spent {
            Decision::Stay
        } else {
            Decision::Change(bounds.most.max(quarters(current, 2)))
        };
    }
    if let Some(wanted) = growth(series, now, current, &history, bounds) {
        let target = wanted.min(bounds.most);
        return if target <= current {
            Decision::Refused(Refusal::Most)
        } else if spent {
            Decision::Refused(Refusal::Spent)
        } else {
            Decision::Change(target)
        };
    }
    match shrinkage(series, now, current, &history, bounds) {
        Some(target) if history.changes < CHANGES_TO_SHRINK => Decision::Change(target),
        _ => Decision::Stay,
    }
}

/// How many shards the stream should have where it should have more: at most double.
fn growth(
    series: &Series,
    now: UnixMillis,
    current: u32,
    history: &History,
    bounds: Bounds,
) -> Option<u32> {
    let recent = || series.loads.range(now.plus_millis(-RECENT)..);
    let peak = recent().map(|(_, load)| load.shards()).max().unwrap_or(0);
    let is_busy = peak > u64::from(current) * BUSY;
    // What was refused before the last change says nothing about the shards since.
    let is_refused = recent()
        .filter(|(at, _)| history.changes == 0 || **at > history.unchanged_since)
        .any(|(_, load)| load.throttled > 0);
    let wanted = match (is_busy, is_refused) {
        // No metric says how much more would have come.
        (true, true) => quarters(current, 8),
        (true, false) => (5..=8)
            .map(|parts| quarters(current, parts))
            .find(|shards| peak <= u64::from(*shards) * AIM)
            .unwrap_or(quarters(current, 8)),
        // Bursts within a minute, or a busy key.
        (false, true) => quarters(current, 6),
        (false, false) => 0,
    };
    let wanted = wanted.max(bounds.least.min(quarters(current, 8)));
    (wanted > current).then_some(wanted)
}

/// How many shards are enough where fewer are: at least half.
fn shrinkage(
    series: &Series,
    now: UnixMillis,
    current: u32,
    history: &History,
    bounds: Bounds,
) -> Option<u32> {
    if now.since(history.unchanged_since) < CALM {
        return None;
    }
    let calm = || series.loads.range(now.plus_millis(-CALM)..);
    if calm().any(|(_, load)| load.throttled > 0) {
        return None;
    }
    let peak = calm().map(|(_, load)| load.shards()).max().unwrap_or(0);
    (2..=3)
        .map(|parts| quarters(current, parts).max(bounds.least))
        .find(|shards| *shards < current && peak <= u64::from(*shards) * AIM)
}

/// So many quarters of a number of shards, rounded up: AWS takes longer for targets between quarters.
fn quarters(shards: u32, parts: u32) -> u32 {
    shards.saturating_mul(parts).div_ceil(4)
}

#[cfg(test)]
mod tests;
