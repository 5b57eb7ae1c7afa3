//! Counts over a span of time and their stored form: slots of minutes within hours, and sums of
//! longer spans.
//!
//! Counts are absolute and carry a *rank*: the number of distinct facts behind them. One value
//! replaces another if and only if its rank is greater, so repeats, reordering and stale writers
//! change nothing.

use std::collections::BTreeMap;

use crate::meter::{self, Amounts};
use crate::response::Responses;
use crate::seen::Seen;
use crate::tally::{Tally, Totals};
use crate::time::{UnixMillis, Window};

mod stored;

/// The most bytes that a stored state may take. Beyond that, only the first [`FIRST_LABELS`] labels
/// keep counts of their own. An item holds 400 KB.
pub const LARGEST_STATE: usize = 300 * 1024;
/// Methods and endpoints that keep counts of their own in a state that would be too large.
pub const FIRST_LABELS: usize = 100;
/// The label under which all others are counted.
pub const OTHER: &str = "other";

/// Calls by type, method, endpoint and key, their responses, and their times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Calls by type, method, endpoint and key.
    pub tally: Tally,
    /// Responses to accepted calls, as far as the access log reports them.
    pub responses: Responses,
    /// The first and the last event, and the plan.
    pub seen: Option<Seen>,
}

impl Counts {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.tally.merge(&other.tally);
        self.responses.merge(&other.responses);
        match (&mut self.seen, &other.seen) {
            (Some(known), Some(other)) => {
                known.widen(other);
            }
            (known @ None, other) => known.clone_from(other),
            (Some(_), None) => {}
        }
    }
}

/// Counts of one minute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slot {
    /// Distinct facts behind it.
    pub rank: u64,
    /// The counts.
    pub counts: Counts,
}

/// A user's hour: a slot for each minute in which any fact names the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    start: UnixMillis,
    slots: BTreeMap<u8, Slot>,
}

impl Hour {
    /// The hour that begins at `start`, without slots.
    pub const fn new(start: UnixMillis) -> Self {
        Self {
            start,
            slots: BTreeMap::new(),
        }
    }

    /// The start of the hour.
    pub const fn start(&self) -> UnixMillis {
        self.start
    }

    /// Replaces the slot of a minute, 0 to 59, if the rank of `slot` is greater. Returns whether it
    /// did.
    pub fn offer(&mut self, minute: u8, slot: &Slot) -> bool {
        let known = self.slots.get(&minute).map_or(0, |slot| slot.rank);
        let is_greater = slot.rank > known;
        if is_greater {
            self.slots.insert(minute, slot.clone());
        }
        is_greater
    }

    /// Sets the slot of a minute unconditionally, for readers who know a later one.
    pub fn set(&mut self, minute: u8, slot: Slot) {
        self.slots.insert(minute, slot);
    }

    /// The slots by minute.
    pub fn slots(&self) -> impl Iterator<Item = (u8, &Slot)> {
        self.slots.iter().map(|(minute, slot)| (*minute, slot))
    }

    /// Calls by type.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for slot in self.slots.values() {
            totals.add(slot.counts.tally.totals());
        }
        totals
    }

    /// The sum of the slots, with the quarter hours of its day.
    pub fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        let first = quarter_of_day(self.start);
        for (minute, slot) in &self.slots {
            sum.rank += slot.rank;
            sum.counts.merge(&slot.counts);
            let quarter = first + minute / 15;
            let totals = sum.quarters.entry(quarter).or_default();
            totals.add(slot.counts.tally.totals());
            sum.add_amounts(quarter, &slot.counts.tally.meters);
        }
        sum.quarters
            .retain(|_, totals| *totals != Totals::default());
        sum
    }
}

/// The quarter hour of its day that `at` lies in, 0 to 95.
pub fn quarter_of_day(at: UnixMillis) -> u8 {
    let into = at.since(Window::Day.start(at)) / (15 * 60_000);
    u8::try_from(into).unwrap_or(95)
}

/// Counts of an hour, a day, a month or all time, for one user or for all users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sum {
    /// Distinct facts behind it.
    pub rank: u64,
    /// The counts.
    pub counts: Counts,
    /// Counts by the quarter hour of the day, for a span within one day: days and months begin on
    /// quarter hours in every time zone.
    pub quarters: BTreeMap<u8, Totals>,
    /// Amounts by the quarter hour of the day, likewise.
    pub amounts: BTreeMap<u8, Amounts>,
    /// Users with an accepted call, if the sum is over all users.
    pub users: u64,
    /// Accepted calls that only the access log reports, if the sum is over all users.
    pub unreported: u64,
    /// Facts found in more than one entry, if the sum is over all users.
    pub repeats: u64,
}

impl Sum {
    /// Adds a part of the same day, or of any span for which quarter hours mean nothing.
    pub fn merge(&mut self, other: &Self) {
        self.rank += other.rank;
        self.counts.merge(&other.counts);
        for (quarter, totals) in &other.quarters {
            self.quarters.entry(*quarter).or_default().add(*totals);
        }
        for (quarter, amounts) in &other.amounts {
            self.add_amounts(*quarter, amounts);
        }
        self.unreported += other.unreported;
        self.repeats += other.repeats;
    }

    /// The sum of parts of a longer span, for which quarter hours mean nothing.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for part in parts {
            sum.merge(part);
        }
        sum.quarters.clear();
        sum.amounts.clear();
        sum
    }

    fn add_amounts(&mut self, quarter: u8, amounts: &Amounts) {
        if !amounts.is_empty() {
            meter::add(self.amounts.entry(quarter).or_default(), amounts);
        }
    }

    /// The quarter hours of a day, by their start.
    pub fn quarters_of(&self, day: UnixMillis) -> impl Iterator<Item = (UnixMillis, Totals)> {
        let quarters = self.quarters.iter();
        quarters.map(move |(quarter, totals)| (start_of(day, *quarter), *totals))
    }

    /// The amounts of the quarter hours of a day, by their start.
    pub fn amounts_of(&self, day: UnixMillis) -> impl Iterator<Item = (UnixMillis, &Amounts)> {
        let quarters = self.amounts.iter();
        quarters.map(move |(quarter, amounts)| (start_of(day, *quarter), amounts))
    }
}

/// The start of a quarter hour of a day.
fn start_of(day: UnixMillis, quarter: u8) -> UnixMillis {
    let into = i64::from(quarter) * 15 * 60_000;
    Window::Day.start(day).plus_millis(into)
}

/// Failures of one address in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Failures {
    /// Distinct facts behind it.
    pub rank: u64,
    /// Calls without a valid key.
    pub auth_failures: u64,
    /// Calls over the rate limit or the quota.
    pub rate_limited: u64,
    /// The ids of the keys that were tried. Of more than [`Self::MOST_KEYS`], those that sort
    /// first.
    pub keys: std::collections::BTreeSet<String>,
    /// Time of the last failure.
    pub last_seen: UnixMillis,
}

impl Failures {
    /// The most keys recorded per address: a caller may try any number of random ones.
    pub const MOST_KEYS: usize = 20;

    /// Failures of either kind.
    pub const fn total(&self) -> u64 {
        self.auth_failures + self.rate_limited
    }

    /// Records a key that was tried.
    pub fn note_key(&mut self, key: &str) {
        if !self.keys.contains(key) {
            self.keys.insert(key.to_owned());
            if self.keys.len() > Self::MOST_KEYS {
                self.keys.pop_last();
            }
        }
    }
}

/// An address's hour: a slot for each minute in which it failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct AddressHour {
    /// By minute of the hour.
    pub slots: BTreeMap<u8, Failures>,
}

impl AddressHour {
    /// Replaces the slot of a minute if the rank of `slot` is greater. Returns whether it did.
    pub fn offer(&mut self, minute: u8, slot: &Failures) -> bool {
        let known = self.slots.get(&minute).map_or(0, |slot| slot.rank);
        let is_greater = slot.rank > known;
        if is_greater {
            self.slots.insert(minute, slot.clone());
        }
        is_greater
    }

    /// Failures of the hour.
    pub fn total(&self) -> u64 {
        self.slots.values().map(Failures::total).sum()
    }
}

/// The callers of a minute, those with most calls first.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Callers {
    /// Email and accepted calls.
    pub calls: Vec<(String, u64)>,
}

impl Callers {
    /// The most callers recorded per minute: those with most calls.
    pub const MOST: usize = 5_000;
}

#[cfg(test)]
mod tests;
