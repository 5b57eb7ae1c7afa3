//! A user's usage: settled months, closed days, and the hours of all other days, of which the
//! journal supplies the last minutes.
//!
//! Counts move upward, from hours to days to months, so each span is read at exactly one level, and
//! the marks choose the level before anything else is read. A day's mark says *closed* only once
//! the day is complete, and its hours stay long after: the level that an older mark chose holds
//! everything that the day above or the hours below held at that moment, and nothing is counted
//! twice. So marks are read first; months, days, hours and journal then do not depend on each
//! other.

use std::collections::BTreeSet;

use domain::counts::{Counts, Hour, Sum};
use domain::key::Quota;
use domain::meter::{self, Amounts};
use domain::plan::{self, Plan, Plans};
use domain::tally::Totals;
use domain::time::{UnixMillis, Window};
use runtime::quota;
use runtime::store::{Store, StoreError};

use crate::fresh::Fresh;
use crate::marks::{Marks, hours_between};
use crate::reader::{ByStart, Tables};

/// A user's counts, each span once.
#[derive(Debug, Clone)]
pub(super) struct Usage {
    /// Settled months.
    months: ByStart<Sum>,
    /// Closed days, and those of settled months in which the current period of a plan begins.
    days: ByStart<Sum>,
    /// Hours of the days that are not closed.
    hours: ByStart<Hour>,
    /// The user's own quota, if it has one.
    own_quota: Option<Quota>,
    /// The first day after the settled months.
    first_day: UnixMillis,
    as_of: UnixMillis,
}

impl Usage {
    /// Reads a user's usage.
    pub(super) async fn read<S: Store>(
        tables: &Tables<'_, S>,
        plans: &Plans,
        user: &str,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        let marks = Marks::read(tables.usage, now).await?;
        let first_day = marks.first_open_day();
        let begun = plan::around(plans, now).start;
        let last = marks.last_hour();
        let open = marks.open_days(first_day);
        let open_hours: BTreeSet<UnixMillis> = open
            .iter()
            .flat_map(|day| hours_between(*day, Window::Day.end(*day).plus_millis(-1)))
            .filter(|hour| *hour <= last)
            .collect();
        let (months, mut days, mut hours, fresh, own_quota) = tokio::try_join!(
            tables.months(user, first_day),
            tables.days(user, begun.min(first_day), last),
            tables.hours(user, &open_hours),
            Fresh::read(tables.analytics, &marks, first_day..Window::Hour.end(last)),
            quota::own(tables.usage, user),
        )?;
        // A day is offered before its mark is written.
        days.retain(|day, _| !open.contains(day));
        for hour in fresh.hours() {
            let hour = hours.entry(hour).or_insert_with(|| Hour::new(hour));
            fresh.lay_over(user, hour);
        }
        Ok(Self {
            months,
            days,
            hours,
            own_quota,
            first_day,
            as_of: fresh.as_of(),
        })
    }

    /// The instant up to which everything appended in time is counted.
    pub(super) const fn as_of(&self) -> UnixMillis {
        self.as_of
    }

    /// The user's quota on `plan`.
    pub(super) fn quota(&self, plan: &Plan) -> Option<u64> {
        plan.quota(self.own_quota)
    }

    /// Everything counted.
    pub(super) fn all_time(&self) -> Counts {
        let mut counts = Counts::default();
        for month in self.months.values() {
            counts.merge(&month.counts);
        }
        for (_, day) in self.days.range(self.first_day..) {
            counts.merge(&day.counts);
        }
        for (_, slot) in self.hours.values().flat_map(Hour::slots) {
            counts.merge(&slot.counts);
        }
        counts
    }

    /// The amounts from `start` up to `end`, exact to the quarter hour.
    pub(super) fn amounts_between(&self, start: UnixMillis, end: UnixMillis) -> Amounts {
        let days = self.days.iter();
        let quarters = days.flat_map(|(day, sum)| sum.amounts_of(*day));
        let slots = self.hours.values().flat_map(|hour| {
            let at = |minute: u8| hour.start().plus_millis(i64::from(minute) * 60_000);
            let slots = hour.slots();
            slots.map(move |(minute, slot)| (at(minute), &slot.counts.tally.meters))
        });
        let mut sum = Amounts::new();
        for (_, amounts) in quarters
            .chain(slots)
            .filter(|(at, _)| (start..end).contains(at))
        {
            meter::add(&mut sum, amounts);
        }
        sum
    }

    /// The counts from `start` up to `end`, exact to the quarter hour.
    pub(super) fn between(&self, start: UnixMillis, end: UnixMillis) -> Totals {
        let days = self.days.iter();
        let quarters = days.flat_map(|(day, sum)| sum.quarters_of(*day));
        let slots = self.hours.values().flat_map(|hour| {
            let at = |minute: u8| hour.start().plus_millis(i64::from(minute) * 60_000);
            let slots = hour.slots();
            slots.map(move |(minute, slot)| (at(minute), slot.counts.tally.totals()))
        });
        let parts = quarters.chain(slots);
        let within = parts.filter(|(at, _)| (start..end).contains(at));
        within.fold(Totals::default(), |mut sum, (_, totals)| {
            sum.add(totals);
            sum
        })
    }
}

#[cfg(test)]
mod tests;
