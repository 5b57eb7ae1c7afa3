//! The calendars of plans, and the border between two periods of a user that they give.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counts::Sum;
use crate::plan::{AnchorDay, Calendar, Plans};
use crate::time::{UnixMillis, Window};
use crate::usage::deciding_plan;

/// Half a day and two hours: no zone is further ahead of UTC.
const MOST_AHEAD_MILLIS: i64 = 14 * 3_600_000;

/// The calendars of plans by the plans' names, as stored for a month whose bills are made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendars(pub(super) BTreeMap<String, Named>);

/// A calendar by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    /// IANA name of the time zone.
    pub(super) timezone: String,
    anchor: AnchorDay,
}

impl Named {
    fn calendar(&self) -> Calendar {
        Calendar::of(&self.timezone, self.anchor)
    }
}

impl Calendars {
    /// Those of plans.
    pub fn of(plans: &Plans) -> Self {
        let calendars = plans.iter().map(|(name, plan)| {
            let calendar = Named {
                timezone: plan.timezone.clone(),
                anchor: plan.period_anchor_day,
            };
            (name.clone(), calendar)
        });
        Self(calendars.collect())
    }

    /// The same zones with calendar months: the periods of releases without anchor days.
    #[must_use]
    pub fn by_calendar_month(mut self) -> Self {
        for calendar in self.0.values_mut() {
            calendar.anchor = AnchorDay::FIRST;
        }
        self
    }

    /// The days, both included, whose calls decide about a user's border in the month that begins at
    /// `month`; `None` if all plans have calendar months in UTC.
    ///
    /// They begin the day before the month, because in some zones the month begins then. They reach to
    /// the day before the last possible border, but at least to the first of the month.
    pub(super) fn deciding(&self, month: UnixMillis) -> Option<(UnixMillis, UnixMillis)> {
        let starts = self.0.values().map(|named| named.calendar().start(month));
        let latest = starts.clone().max()?;
        let is_plain = |named: &Named| named.calendar() == Calendar::UTC;
        let last = Window::Day.start(latest.plus_millis(-1));
        (!self.0.values().all(is_plain)).then(|| (month.plus_days(-1), last.max(month)))
    }

    /// The instant in the month that begins at `month` in UTC at which a period of a user begins.
    ///
    /// Only calls on the deciding days can lie between the borders of two plans, so their last plan
    /// decides, and the periods on both sides find the same border. Without such calls, `last` decides,
    /// and no count depends on it. A plan that is not known has calendar months in UTC.
    pub(super) fn border<'a>(
        &self,
        days: &'a [(UnixMillis, Sum)],
        month: UnixMillis,
        last: Option<&'a str>,
    ) -> UnixMillis {
        let plan = deciding_plan(days, self.deciding(month), last);
        let named = plan.and_then(|plan| self.0.get(plan));
        let calendar = named.map_or(Calendar::UTC, Named::calendar);
        calendar.start(month).min(latest_start(month))
    }
}

/// The latest instant at which a period of the month may begin. On no plan do the next month's periods
/// begin before it, so a user's borders stay in order.
fn latest_start(month: UnixMillis) -> UnixMillis {
    Window::Month.end(month).plus_millis(-MOST_AHEAD_MILLIS)
}

/// Whether the periods of a calendar end where its bills do. A day at the end of the month in a zone
/// far west of UTC begins after the next month has begun in zones far east.
pub fn is_billable(calendar: &Calendar, from: UnixMillis) -> bool {
    /// Months until the calendar of days and months recurs, but for leap years.
    const MONTHS: usize = 48;
    let next = |month: &UnixMillis| Some(Window::Month.end(*month));
    let mut months = std::iter::successors(Some(Window::Month.start(from)), next).take(MONTHS);
    months.all(|month| calendar.start(month) <= latest_start(month))
}
