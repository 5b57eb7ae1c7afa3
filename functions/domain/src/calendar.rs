//! Weeks and months, each of which begins and ends by the clock of a time zone.

use std::fmt;

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span as Length, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::plan::{Period, Plan, Plans, time_zone};
use crate::time::{UnixMillis, Window};

/// The length of a [`Span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// A week from Monday to Sunday (ISO 8601).
    Week,
    /// A month.
    Month,
}

impl Unit {
    /// Its name: `week` or `month`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    fn length(self) -> Length {
        match self {
            Self::Week => 1.week(),
            Self::Month => 1.month(),
        }
    }
}

/// A week or a month of the calendar: dates, without a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    unit: Unit,
    first: Date,
}

impl Span {
    /// The week or month that contains `at` in UTC.
    pub fn of(unit: Unit, at: UnixMillis) -> Self {
        let date = Offset::UTC.to_datetime(at.timestamp()).date();
        let first = match unit {
            Unit::Week => {
                let since_monday = i32::from(date.weekday().to_monday_zero_offset());
                date.saturating_sub(since_monday.days())
            }
            Unit::Month => date.first_of_month(),
        };
        Self { unit, first }
    }

    /// The month that contains `at` in UTC.
    pub fn month(at: UnixMillis) -> Self {
        Self::of(Unit::Month, at)
    }

    /// The span that `label` names: `2026-W47` or `2026-11`.
    pub fn parse(label: &str) -> Option<Self> {
        let Some((year, week)) = label.split_once("-W") else {
            return Window::Month.parse_label(label).map(Self::month);
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (year.len(), week.len()) != (4, 2) || !are_digits(year) || !are_digits(week) {
            return None;
        }
        let (year, week) = (year.parse().ok()?, week.parse().ok()?);
        let monday = ISOWeekDate::new(year, week, Weekday::Monday).ok()?;
        Some(Self {
            unit: Unit::Week,
            first: monday.date(),
        })
    }

    /// Whether it is a week or a month.
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// Its first date.
    pub const fn first(self) -> Date {
        self.first
    }

    /// The span after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self {
            first: self.first.saturating_add(self.unit.length()),
            ..self
        }
    }

    /// The span before this one.
    #[must_use]
    pub fn previous(self) -> Self {
        Self {
            first: self.first.saturating_sub(self.unit.length()),
            ..self
        }
    }

    /// Its dates.
    pub fn dates(self) -> impl Iterator<Item = Date> {
        let end = self.next().first;
        self.first
            .series(1.day())
            .take_while(move |date| *date < end)
    }

    /// When it begins and ends in a time zone.
    pub fn period(self, zone: &TimeZone) -> Period {
        let start = |date: Date| -> UnixMillis {
            let start = date.to_zoned(zone.clone());
            start.map_or_else(|_| UnixMillis::default(), |start| start.timestamp().into())
        };
        Period {
            start: start(self.first),
            end: start(self.next().first),
        }
    }

    /// When it begins and ends in UTC.
    pub fn in_utc(self) -> Period {
        self.period(&TimeZone::UTC)
    }

    /// The days whose sums decide the usage of the span, both included: those that it touches in any
    /// plan's zone, and those that decide where it begins and ends.
    pub fn days(self, plans: &Plans) -> (UnixMillis, UnixMillis) {
        let utc = self.in_utc();
        let is_utc = |plan: &Plan| self.period(&zone_of(plan)) == utc;
        if plans.values().all(is_utc) {
            (utc.start, utc.end.plus_days(-1))
        } else {
            // No zone is a day away from UTC.
            (utc.start.plus_days(-1), utc.end)
        }
    }
}

impl fmt::Display for Span {
    /// The label: `2026-W47` or `2026-11`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Week => {
                let week = self.first.iso_week_date();
                write!(f, "{:04}-W{:02}", week.year(), week.week())
            }
            Unit::Month => write!(f, "{:04}-{:02}", self.first.year(), self.first.month()),
        }
    }
}

/// The time zone of a plan; UTC if it is unknown, which no valid environment file allows.
pub(crate) fn zone_of(plan: &Plan) -> TimeZone {
    time_zone(&plan.timezone).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::plan::AnchorDay;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn at(text: &str) -> UnixMillis {
        text.parse().unwrap()
    }

    #[test]
    fn a_week_begins_on_monday_and_belongs_to_the_year_of_its_thursday() {
        for (day, label) in [
            ("2026-11-16", "2026-W47"),
            ("2026-11-22", "2026-W47"),
            ("2026-11-23", "2026-W48"),
            ("2026-12-31", "2026-W53"),
            ("2027-01-03", "2026-W53"),
            ("2027-01-04", "2027-W01"),
            ("2024-12-30", "2025-W01"),
        ] {
            let of_day = Span::of(Unit::Week, at(&format!("{day}T12:00:00Z")));
            assert_eq!(of_day.to_string(), label);
            assert_eq!(Span::parse(label), Some(of_day));
            assert!(of_day.dates().any(|date| date.to_string() == day));
        }
        let week = Span::parse("2026-W47").unwrap();
        let india = week.period(&time_zone("Asia/Kolkata").unwrap());
        assert_eq!(india.start.to_string(), "2026-11-15T18:30:00Z");
        assert_eq!(india.end.to_string(), "2026-11-22T18:30:00Z");
    }

    #[test]
    fn a_label_that_names_no_span_is_refused() {
        for label in [
            "2026-W54", "2027-W53", "2026-W00", "2026-W1", "26-W01", "2026-13", "2026", "+026-W01",
            "2026-W+1", "",
        ] {
            assert_eq!(Span::parse(label), None, "{label}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// 2020 to 2040, in every zone of the database.
        #[test]
        fn spans_of_every_zone_follow_one_another_on_quarter_hours(
            name in select(jiff::tz::db().available().map(|name| name.to_string()).collect::<Vec<_>>()),
            moment in 1_577_836_800_000_i64..2_208_988_800_000,
            unit in select(vec![Unit::Week, Unit::Month]),
        ) {
            let zone = time_zone(&name).unwrap();
            let span = Span::of(unit, UnixMillis(moment));
            let period = span.period(&zone);
            prop_assert_eq!(span.next().period(&zone).start, period.end);
            prop_assert_eq!(span.next().previous(), span);
            prop_assert_eq!(Span::parse(&span.to_string()), Some(span));
            prop_assert!(span.in_utc().holds(UnixMillis(moment)));
            // Sums are kept by quarter hour, and the border lies on the two days around that of UTC.
            prop_assert_eq!(period.start.0 % 900_000, 0, "{} {}", name, period.start);
            let from_utc = period.start.since(span.in_utc().start);
            prop_assert!((-86_400_000..86_400_000).contains(&from_utc), "{} {}", name, from_utc);
            if unit == Unit::Month {
                let middle = period.start.plus_days(14);
                let of_plan = crate::plan::Calendar::of(&name, AnchorDay::FIRST);
                prop_assert_eq!(of_plan.period(middle), period);
            }
        }
    }
}
