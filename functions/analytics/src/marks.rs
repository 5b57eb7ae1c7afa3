//! The progress of counting: which days are closed, and which minutes may not be folded yet.
//!
//! Every query reads the marks before anything else, because they decide where each span is read
//! from. A mark claims only what was written before it, so a decision based on an older mark stays
//! right while the aggregator moves on.
//!
//! Two queries, one read unit each: marks of hours older than two days sort between those of days
//! and those of the last hours, and a single query would read them all.

use std::collections::{BTreeMap, BTreeSet};

use domain::mark::{DayMark, LOOKED_AFTER_DAYS, Round};
use domain::state;
use domain::table::{ItemKey, MARKS};
use domain::time::{UnixMillis, Window};
use runtime::store::{self, Query, Store, StoreError, unreadable};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// How far before an hour's mark a minute must end to count as folded: entries are in time for one
/// minute, and two functions' clocks may be two minutes apart.
const MARGIN: i64 = 3 * MINUTE;
/// How far ahead an authorizer's clock may be.
const AHEAD: i64 = 15 * MINUTE;
/// Days whose hours may be unfolded. If a fold is further behind, its counts show when it is done.
const UNFOLDED_DAYS: i64 = 2;
/// Hours before the first mark that may be unfolded: a new deployment has folded nothing yet.
const UNMARKED_HOURS: i64 = 3;
/// Days after which a sealed month has settled: the day is sealed after nine, and a fold that
/// looked at its mark before that has long ended after two more.
const SETTLED_DAYS: i64 = 11;

/// The marks of the last days and hours.
#[derive(Debug, Clone)]
pub struct Marks {
    now: UnixMillis,
    days: BTreeMap<UnixMillis, Round>,
    unfolded: BTreeMap<UnixMillis, UnixMillis>,
}

impl Marks {
    /// Reads the marks.
    pub async fn read<S: Store>(usage: &S, now: UnixMillis) -> Result<Self, StoreError> {
        let oldest_day = now.plus_days(-LOOKED_AFTER_DAYS);
        let oldest_hour = now.plus_days(-UNFOLDED_DAYS);
        let between = |from: ItemKey, to: ItemKey| Query::states(MARKS, from.sk, to.sk);
        let days = between(ItemKey::day_mark(oldest_day), ItemKey::day_mark(now));
        let hours = between(
            ItemKey::hour_mark(oldest_hour),
            ItemKey::hour_mark(now.plus_millis(AHEAD)),
        );
        let (days, hours) = tokio::try_join!(store::all(usage, days), store::all(usage, hours))?;
        let days = days.into_iter().filter_map(|row| {
            let day = Window::Day.parse_label(row.sk.strip_prefix("DAY#")?)?;
            Some((day, row.bytes?))
        });
        let days = days.map(|(day, bytes)| {
            let mark: DayMark =
                state::decode(&bytes).map_err(unreadable(&ItemKey::day_mark(day)))?;
            Ok((day, mark.round))
        });
        let hours = hours.into_iter().filter_map(|row| {
            let hour = Window::Hour.parse_label(row.sk.strip_prefix("HOUR#")?)?;
            Some((hour, UnixMillis(i64::try_from(row.version).ok()?)))
        });
        let days = days.collect::<Result<_, StoreError>>()?;
        Ok(Self::new(now, days, &hours.collect()))
    }

    /// `hours` holds, for each hour, the time of the last change of its journal that is folded.
    fn new(
        now: UnixMillis,
        days: BTreeMap<UnixMillis, Round>,
        hours: &BTreeMap<UnixMillis, UnixMillis>,
    ) -> Self {
        let mut marks = Self {
            now,
            days,
            unfolded: BTreeMap::new(),
        };
        marks.unfolded = marks.unfolded_hours(hours);
        marks
    }

    /// Each hour has its own mark. Hours come through different shards of the table's stream, and
    /// one may be behind while the next two are completely folded.
    fn unfolded_hours(
        &self,
        hours: &BTreeMap<UnixMillis, UnixMillis>,
    ) -> BTreeMap<UnixMillis, UnixMillis> {
        let folded_until = |hour: UnixMillis| match hours.get(&hour) {
            _ if self.is_closed(Window::Day.start(hour)) => Window::Hour.end(hour),
            Some(mark) => Window::Minute
                .start(mark.plus_millis(-MARGIN))
                .clamp(hour, Window::Hour.end(hour)),
            None => hour,
        };
        let this_hour = Window::Hour.start(self.now);
        let longest = self.now.plus_days(-UNFOLDED_DAYS);
        // If no hour is marked, it is unknown how long the aggregator has not folded.
        let oldest = hours.keys().next().map_or(longest, |first| {
            let first = (*first).min(this_hour);
            first.plus_millis(-UNMARKED_HOURS * HOUR).max(longest)
        });
        let all = hours_between(oldest, self.last_hour());
        all.map(|hour| (hour, folded_until(hour)))
            .filter(|(hour, from)| *from < Window::Hour.end(*hour))
            .collect()
    }

    /// When the marks were read.
    pub const fn now(&self) -> UnixMillis {
        self.now
    }

    /// The newest hour that may hold a call, by a clock that is ahead.
    pub fn last_hour(&self) -> UnixMillis {
        Window::Hour.start(self.now.plus_millis(AHEAD))
    }

    /// The hours with minutes that may be unfolded, and the first such minute of each.
    pub const fn unfolded_from(&self) -> &BTreeMap<UnixMillis, UnixMillis> {
        &self.unfolded
    }

    /// The end of the folded minutes of an hour: its start if there are none.
    pub fn folded_until(&self, hour: UnixMillis) -> UnixMillis {
        let unfolded = self.unfolded.get(&hour).copied();
        unfolded.unwrap_or_else(|| Window::Hour.end(hour))
    }

    /// Days before the first mark hold nothing, and days past the closing's horizon do not change.
    fn round(&self, day: UnixMillis) -> Option<Round> {
        let window = Window::Day.start(self.now.plus_days(-LOOKED_AFTER_DAYS));
        let first = self.days.keys().next().copied().unwrap_or(window);
        if day < first {
            return Some(Round::Sealed);
        }
        self.days.get(&day).copied()
    }

    /// Whether the day that begins at `day` is read as a day rather than as its hours.
    pub fn is_closed(&self, day: UnixMillis) -> bool {
        self.round(day) >= Some(Round::Closed)
    }

    /// Whether the month that begins at `month` is read as a month rather than as its days.
    fn is_settled(&self, month: UnixMillis) -> bool {
        let end = Window::Month.end(month);
        let mut days = days_between(month, end.plus_millis(-1));
        end <= self.now.plus_days(-SETTLED_DAYS)
            && days.all(|day| self.round(day) == Some(Round::Sealed))
    }

    /// First day of the oldest month that is read as its days. Every earlier month has settled.
    pub fn first_open_day(&self) -> UnixMillis {
        let mut month = Window::Month.start(self.now);
        loop {
            let before = Window::Month.start(month.plus_millis(-1));
            if before == month || self.is_settled(before) {
                return month;
            }
            month = before;
        }
    }

    /// The days from that of `from` on that are read as their hours.
    pub fn open_days(&self, from: UnixMillis) -> BTreeSet<UnixMillis> {
        let days = days_between(from, self.last_hour());
        days.filter(|day| !self.is_closed(*day)).collect()
    }
}

/// The days from that of `from` to that of `to`, both included.
pub fn days_between(from: UnixMillis, to: UnixMillis) -> impl Iterator<Item = UnixMillis> {
    each(Window::Day, from, to)
}

/// The hours from that of `from` to that of `to`, both included.
pub fn hours_between(from: UnixMillis, to: UnixMillis) -> impl Iterator<Item = UnixMillis> {
    each(Window::Hour, from, to)
}

fn each(window: Window, from: UnixMillis, to: UnixMillis) -> impl Iterator<Item = UnixMillis> {
    let next = move |start: &UnixMillis| Some(window.end(*start)).filter(|end| end > start);
    let all = std::iter::successors(Some(window.start(from)), next);
    all.take_while(move |start| *start <= to)
}

#[cfg(test)]
mod tests;
