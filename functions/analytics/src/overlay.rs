//! Fresher counts laid over rolled-up ones.
//!
//! Roll-ups follow the leaves at the aggregator's pace. Laying leaves over their days, days over
//! their months and months over all time gives what the roll-ups will hold once it is done, and does
//! not depend on how far it is; but for what stands beyond a subject's first leaf of an hour, which
//! shows as it is rolled up. Pure: what was read comes in as [`Known`].

use std::collections::BTreeMap;

use domain::event::Subject;
use domain::leaf::{Leaf, LeafKey};
use domain::names::TrackingMode;
use domain::response::Responses;
use domain::rollup::{Part, RollUp};
use domain::seen::Seen;
use domain::table::{self, HourPart};
use domain::tally::{Tally, Totals};
use domain::time::{UnixMillis, Window};

/// Length of a quarter hour in milliseconds.
const QUARTER: i64 = 15 * 60_000;

/// A state as of the version that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AsOf<T> {
    /// The item's version; 0 where there is none.
    pub version: u64,
    /// Its state.
    pub state: T,
}

/// What one table holds of a user's days.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// Days by their start.
    pub days: BTreeMap<UnixMillis, AsOf<RollUp>>,
    /// Leaves that may be fresher than their day.
    pub leaves: BTreeMap<LeafKey, AsOf<Leaf>>,
}

/// What the tables hold of a user.
#[derive(Debug, Clone)]
pub struct Known {
    /// The user.
    pub subject: Subject,
    /// The counts of all time.
    pub all_time: AsOf<RollUp>,
    /// Months by their start.
    pub months: BTreeMap<UnixMillis, AsOf<RollUp>>,
    /// Days and leaves; each mode has a table of its own.
    pub homes: BTreeMap<TrackingMode, Home>,
}

/// A roll-up with fresher parts laid over its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fresh {
    version: u64,
    parts: BTreeMap<String, Part>,
    seen: Option<Seen>,
}

/// What a user used, as fresh as the leaves.
#[derive(Debug, Clone)]
pub struct Usage {
    days: BTreeMap<(TrackingMode, UnixMillis), Fresh>,
    months: BTreeMap<UnixMillis, Fresh>,
    all_time: Fresh,
}

impl Fresh {
    fn of(rolled: &AsOf<RollUp>) -> Self {
        let parts = rolled.state.parts();
        Self {
            version: rolled.version,
            parts: parts
                .map(|(name, part)| (name.to_owned(), part.clone()))
                .collect(),
            seen: rolled.state.seen(),
        }
    }

    /// Lays a part over. The higher version stays; of the same version, what is laid over: it is
    /// what was rolled up, and on it what was not yet.
    fn lay(&mut self, name: String, part: Part, seen: Option<Seen>) {
        let newer = self
            .parts
            .get(&name)
            .is_some_and(|known| known.version > part.version);
        if !newer {
            self.parts.insert(name, part);
        }
        if let Some(seen) = seen {
            self.seen.get_or_insert_with(|| seen.clone()).widen(&seen);
        }
    }

    fn lay_below(&mut self, name: String, below: &Self) {
        let part = Part {
            version: below.version,
            tally: below.tally(),
            responses: below.responses(),
            ..Part::default()
        };
        self.lay(name, part, below.seen.clone());
    }

    /// Everything counted.
    pub fn tally(&self) -> Tally {
        self.parts.values().map(|part| &part.tally).collect()
    }

    /// How the calls were answered, as far as the access log has told.
    pub fn responses(&self) -> Responses {
        self.parts.values().map(|part| &part.responses).collect()
    }

    /// The first and the last event.
    pub const fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// The parts by name.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.parts.iter().map(|(name, part)| (name.as_str(), part))
    }
}

impl Home {
    /// The days with the leaves laid over that are parts of them: a subject's first of each hour.
    /// All others are summed between leaf and day, and show as soon as they are rolled up.
    pub fn fresh_days(&self) -> BTreeMap<UnixMillis, Fresh> {
        let days = self.days.iter();
        let mut days: BTreeMap<UnixMillis, Fresh> = days
            .map(|(day, rolled)| (*day, Fresh::of(rolled)))
            .collect();
        let firsts = self.leaves.iter().filter(|(key, _)| key.is_first());
        for (key, AsOf { version, state }) in firsts {
            let part = Part {
                version: *version,
                tally: state.tally(),
                quarters: state.quarters().to_vec(),
                responses: state.responses().clone(),
                ..Part::default()
            };
            let day = days.entry(Window::Day.start(key.hour)).or_default();
            day.lay(HourPart::First(key.hour).name(), part, state.seen());
        }
        days
    }
}

impl Known {
    /// Everything with what is fresher laid over.
    pub fn usage(&self) -> Usage {
        let mut days = BTreeMap::new();
        let stored = self.months.iter();
        let mut months: BTreeMap<UnixMillis, Fresh> = stored
            .map(|(month, rolled)| (*month, Fresh::of(rolled)))
            .collect();
        for (mode, home) in &self.homes {
            for (day, fresh) in home.fresh_days() {
                let month = months.entry(Window::Month.start(day)).or_default();
                month.lay_below(table::day_part(day, *mode), &fresh);
                days.insert((*mode, day), fresh);
            }
        }
        let mut all_time = Fresh::of(&self.all_time);
        for (month, fresh) in &months {
            all_time.lay_below(Window::Month.label(*month), fresh);
        }
        Usage {
            days,
            months,
            all_time,
        }
    }
}

impl Usage {
    /// The counts of all time.
    pub const fn all_time(&self) -> &Fresh {
        &self.all_time
    }

    /// Calls from `start` up to `end`, exact to the quarter hour.
    pub fn calls_between(&self, start: UnixMillis, end: UnixMillis) -> u64 {
        let mut calls = 0;
        let mut day = Window::Day.start(start);
        while day < end {
            let next = Window::Day.end(day);
            for mode in [TrackingMode::Stream, TrackingMode::Synchronous] {
                calls += if start <= day && next <= end {
                    self.calls_of_day(mode, day)
                } else {
                    self.calls_within_day(mode, day, start, end)
                };
            }
            day = next;
        }
        calls
    }

    fn calls_of_day(&self, mode: TrackingMode, day: UnixMillis) -> u64 {
        let month = self.months.get(&Window::Month.start(day));
        let part = month.and_then(|month| month.parts.get(&table::day_part(day, mode)));
        part.map_or(0, |part| part.tally.calls)
    }

    /// A day that only its month remembers counts whole: a user is never told that more of a quota
    /// is left than there is.
    fn calls_within_day(
        &self,
        mode: TrackingMode,
        day: UnixMillis,
        start: UnixMillis,
        end: UnixMillis,
    ) -> u64 {
        let Some(fresh) = self.days.get(&(mode, day)) else {
            return self.calls_of_day(mode, day);
        };
        let quarters = fresh
            .parts()
            .flat_map(|(name, part)| quarter_hours(day, name, part));
        quarters
            .filter(|(at, _)| (start..end).contains(at))
            .map(|(_, totals)| totals.calls)
            .sum()
    }
}

/// The quarter hours of an hour among the parts of its day, by their start.
pub fn quarter_hours(
    day: UnixMillis,
    name: &str,
    part: &Part,
) -> impl Iterator<Item = (UnixMillis, Totals)> {
    let hour = HourPart::parse(day, name).map(HourPart::hour);
    let quarters = (0..).map(|quarter| quarter * QUARTER).zip(&part.quarters);
    hour.into_iter().flat_map(move |hour| {
        let quarters = quarters.clone();
        quarters.map(move |(into, totals)| (hour.plus_millis(into), *totals))
    })
}

#[cfg(test)]
mod tests;
