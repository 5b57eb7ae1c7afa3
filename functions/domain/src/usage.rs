//! A user's usage of a week, a month or a period, from the sums of its days.
//!
//! It begins and ends by the calendar of the user's plan, exact to the quarter hour. Bills and reports
//! are both made of it, so they cannot differ.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::calendar::{Span, zone_of};
use crate::counts::Sum;
use crate::meter::{self, Amounts};
use crate::plan::{Period, Plans};
use crate::tally::Totals;
use crate::time::{UnixMillis, Window};

/// The zone of users without a plan that the environment knows.
const UTC: &str = "UTC";

/// A user's usage of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The plan of the user's last call in the span; `None` if no accepted call named one.
    pub plan: Option<String>,
    /// IANA name of the plan's time zone.
    pub timezone: String,
    /// First instant of the span.
    pub start: UnixMillis,
    /// First instant of the next span.
    pub end: UnixMillis,
    /// Calls by type, and units of the accepted ones.
    pub totals: Totals,
    /// Amounts that upstreams reported of accepted calls.
    pub meters: Amounts,
    /// Counts and amounts of each quarter hour that has any, by its start.
    pub quarters: BTreeMap<UnixMillis, (Totals, Amounts)>,
    /// The number of distinct facts in the journal of each day that the span touches.
    pub facts: Vec<(UnixMillis, u64)>,
}

impl Usage {
    /// A user's usage of a week, from the user's days within [`Span::days`]. That of a month is
    /// [`Terms::usage`](crate::bill::Terms::usage), as on bills.
    ///
    /// Where a user changes to a plan of another zone, the week ends where the next one begins: the
    /// plan of the last call on the two days around the border decides, for both.
    pub fn of_week(days: &[(UnixMillis, Sum)], plans: &Plans, span: Span) -> Self {
        let last = plan_of(days.iter());
        let period = Period {
            start: border(days, plans, span, last),
            end: border(days, plans, span.next(), last),
        };
        Self::within(days, period, |plan| {
            plans.get(plan).map(|plan| &*plan.timezone)
        })
    }

    /// A user's usage of a period, from the days that it touches. `zone_of` names a plan's time zone.
    pub(crate) fn within<'a>(
        days: &[(UnixMillis, Sum)],
        Period { start, end }: Period,
        zone_of: impl FnOnce(&str) -> Option<&'a str>,
    ) -> Self {
        let touched = |day: UnixMillis| day < end && Window::Day.end(day) > start;
        let days = || days.iter().filter(|(day, _)| touched(*day));
        let mut within = quarters(days());
        within.retain(|at, _| (start..end).contains(at));
        let (mut totals, mut meters) = (Totals::default(), Amounts::new());
        for (of_quarter, amounts) in within.values() {
            totals.add(*of_quarter);
            meter::add(&mut meters, amounts);
        }
        let plan = plan_of(days());
        Self {
            plan: plan.map(str::to_owned),
            timezone: plan.and_then(zone_of).unwrap_or(UTC).to_owned(),
            start,
            end,
            totals,
            meters,
            quarters: within,
            facts: days().map(|(day, sum)| (*day, sum.rank)).collect(),
        }
    }

    /// Whether the user has no counts in the span.
    pub fn is_empty(&self) -> bool {
        self.totals == Totals::default()
    }
}

/// The instant at which `span` begins for a user. Only calls on the day before and the day after its
/// beginning in UTC can lie between the borders of two zones, so only their plan decides, and the
/// span before finds the same border. Without such calls, `last` decides.
fn border<'a>(
    days: &'a [(UnixMillis, Sum)],
    plans: &Plans,
    span: Span,
    last: Option<&'a str>,
) -> UnixMillis {
    let in_utc = span.in_utc().start;
    let plan = deciding_plan(days, Some((in_utc.plus_days(-1), in_utc)), last);
    let plan = plan.and_then(|plan| plans.get(plan));
    let zone = plan.map_or(TimeZone::UTC, zone_of);
    span.period(&zone).start
}

/// The plan that decides a border: that of the last call on the days that are near it, both included.
/// Without such calls, `last` decides.
pub(crate) fn deciding_plan<'a>(
    days: &'a [(UnixMillis, Sum)],
    near: Option<(UnixMillis, UnixMillis)>,
    last: Option<&'a str>,
) -> Option<&'a str> {
    let is_near = |day: &UnixMillis| near.is_some_and(|(first, last)| (first..=last).contains(day));
    let near = days.iter().filter(|(day, _)| is_near(day));
    if near.clone().next().is_some() {
        plan_of(near)
    } else {
        last
    }
}

/// The plan of the last call.
pub(crate) fn plan_of<'a>(days: impl Iterator<Item = &'a (UnixMillis, Sum)>) -> Option<&'a str> {
    let seen = days.filter_map(|(_, sum)| sum.counts.seen.as_ref());
    let latest = seen.filter_map(crate::seen::Seen::plan_at).max();
    latest.map(|(_, name)| name)
}

/// The counts and amounts of each quarter hour that has any.
fn quarters<'a>(
    days: impl Iterator<Item = &'a (UnixMillis, Sum)>,
) -> BTreeMap<UnixMillis, (Totals, Amounts)> {
    let mut quarters: BTreeMap<UnixMillis, (Totals, Amounts)> = BTreeMap::new();
    for (day, sum) in days {
        for (at, totals) in sum.quarters_of(*day) {
            quarters.entry(at).or_default().0.add(totals);
        }
        for (at, amounts) in sum.amounts_of(*day) {
            meter::add(&mut quarters.entry(at).or_default().1, amounts);
        }
    }
    quarters
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::calendar::Unit;
    use crate::sample;
    use crate::seen::Seen;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn plans() -> Plans {
        sample::plans([
            ("free", "UTC"),
            ("india", "Asia/Kolkata"),
            ("bogota", "America/Bogota"),
            ("kiritimati", "Pacific/Kiritimati"),
        ])
    }

    proptest! {
        /// Even if the user changes plans at any time.
        #[test]
        fn each_call_is_in_one_week(
            calls in proptest::collection::btree_map(
                (0_i64..40, 0_u8..96),
                (1_u64..9, select(vec!["free", "india", "bogota", "kiritimati", "gone"])),
                0..40,
            ),
        ) {
            let first: UnixMillis = "2026-11-01T00:00:00Z".parse().unwrap();
            let mut days: BTreeMap<UnixMillis, Sum> = BTreeMap::new();
            for ((day, quarter), (count, plan)) in &calls {
                let day = first.plus_days(*day);
                let sum = days.entry(day).or_default();
                let totals = Totals { calls: *count, ..Totals::default() };
                sum.quarters.insert(*quarter, totals);
                sum.counts.seen = Some(Seen::new(day, day, Some((day, (*plan).to_owned()))));
            }
            let days: Vec<_> = days.into_iter().collect();
            let before = Span::of(Unit::Week, first).previous();
            let spans = std::iter::successors(Some(before), |span| Some(span.next())).take(10);
            let within = spans.map(|span| {
                let (first, last) = span.days(&plans());
                let own = days.iter().filter(|(day, _)| (first..=last).contains(day));
                Usage::of_week(&own.cloned().collect::<Vec<_>>(), &plans(), span)
            });
            let counted: u64 = calls.values().map(|(count, _)| count).sum();
            prop_assert_eq!(within.map(|usage| usage.totals.calls).sum::<u64>(), counted);
        }
    }
}
