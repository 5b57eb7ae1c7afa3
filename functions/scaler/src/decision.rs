//! How many shards the stream should have: a pure function of its metrics.
//!
//! The capacity of a shard:
//! <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>. The limits of a
//! change: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>.
//!
//! The rules differ by direction, because the risks do. Too few shards cost a table write for each
//! call that the stream refuses, so the stream grows after a single busy minute. Too many cost some
//! cents an hour, so it shrinks only after three quiet hours, and only while four of the day's
//! changes remain for growth. Four doublings cover sixteen times the load.

use std::collections::BTreeMap;

use domain::time::UnixMillis;

/// Bytes that a shard accepts per minute.
const SHARD_BYTES: u64 = 60 * 1_000_000;
/// Records that a shard accepts per minute.
const SHARD_RECORDS: u64 = 60 * 1_000;
/// Loads are counted in thousandths of a shard.
const WHOLE: u64 = 1_000;
/// A minute above this share of the stream's capacity makes the stream grow, in thousandths.
const BUSY: u64 = 750;
/// The share of the capacity that the busiest minute may use after a change, in thousandths. It is
/// well below [`BUSY`], so that a change is not followed by its opposite.
const AIM: u64 = 500;
/// How far back a busy minute makes the stream grow, in milliseconds. CloudWatch shows a minute up to
/// three minutes after its end.
const RECENT: i64 = 5 * 60_000;
/// How long the stream must be quiet before it shrinks, in milliseconds.
pub const CALM: i64 = 3 * 3_600_000;
/// AWS's rolling day in milliseconds, plus ten minutes: the scaler sees a change only after it is
/// complete, and CloudWatch rounds to minutes.
pub const DAY: i64 = (24 * 60 + 10) * 60_000;
/// Changes that AWS allows in a rolling day.
const CHANGES: usize = 10;
/// Changes of a day after which the stream no longer shrinks: the others are reserved for growth.
const CHANGES_TO_SHRINK: usize = 6;

/// The load of one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes that were put.
    pub bytes: u64,
    /// Records that were put.
    pub records: u64,
    /// Records that the stream refused for lack of capacity.
    pub throttled: u64,
}

/// The stream's metrics, by the start of each minute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    /// Minutes with any put.
    pub loads: BTreeMap<UnixMillis, Load>,
    /// The stream's shards, from runs that found the stream at rest.
    pub shards: BTreeMap<UnixMillis, u32>,
}

/// The bounds of the stream's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The fewest.
    pub least: u32,
    /// The most.
    pub most: u32,
}

/// The decision of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The stream stays as it is.
    Stay,
    /// The stream changes to this many shards.
    Change(u32),
    /// The stream needs more shards and cannot get them.
    Refused(Refusal),
}

/// Why the stream does not get the shards that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It already has the most shards that the bounds allow.
    Most,
    /// The day's changes are used up.
    Spent,
    /// AWS refused: a quota of the account, or changes that others made.
    Quota,
}

impl Load {
    /// The load in thousandths of a shard's capacity.
    fn shards(&self) -> u64 {
        let bytes = self.bytes.saturating_mul(WHOLE).div_ceil(SHARD_BYTES);
        let records = self.records.saturating_mul(WHOLE).div_ceil(SHARD_RECORDS);
        bytes.max(records)
    }
}

/// The changes within a day of observations.
struct History {
    /// How often the number of shards changed.
    changes: usize,
    /// Since when the stream is known to have its current shards.
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

/// The decision at `now` for a stream at rest with `current` shards.
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

/// The target if the stream should grow: at most double its shards.
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
    // Refusals from before the last change say nothing about the current shards.
    let is_refused = recent()
        .filter(|(at, _)| history.changes == 0 || **at > history.unchanged_since)
        .any(|(_, load)| load.throttled > 0);
    let wanted = match (is_busy, is_refused) {
        // No metric says how much was refused beyond that.
        (true, true) => quarters(current, 8),
        (true, false) => (5..=8)
            .map(|parts| quarters(current, parts))
            .find(|shards| peak <= u64::from(*shards) * AIM)
            .unwrap_or(quarters(current, 8)),
        // Bursts within a minute, or a busy partition key.
        (false, true) => quarters(current, 6),
        (false, false) => 0,
    };
    let wanted = wanted.max(bounds.least.min(quarters(current, 8)));
    (wanted > current).then_some(wanted)
}

/// The target if fewer shards are enough: at least half of them.
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

/// A number of quarters of the shards, rounded up: AWS is slower for targets between quarters.
fn quarters(shards: u32, parts: u32) -> u32 {
    shards.saturating_mul(parts).div_ceil(4)
}

#[cfg(test)]
mod tests;
