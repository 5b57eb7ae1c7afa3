//! Plans: a user's limits, and the period over which usage is counted.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Span, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::key::Quota;
use crate::time::UnixMillis;

/// The plans by name.
pub type Plans = BTreeMap<String, Plan>;

/// The limits of a plan's users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Sustained calls per second.
    pub rate_per_second: u32,
    /// Calls accepted at once above the rate.
    pub burst: u32,
    /// Units per period; `None` for no limit.
    #[serde(default)]
    pub monthly_quota: Option<u64>,
    /// Percentages of the quota at which an alert is sent.
    #[serde(default)]
    pub alerts_percent: Vec<u8>,
    /// Whether calls may exceed limits slightly in exchange for speed.
    #[serde(default)]
    pub limit_mode: LimitMode,
    /// IANA name of the time zone in whose calendar periods begin.
    #[serde(default = "utc")]
    pub timezone: String,
    /// The day of the month on which periods begin.
    #[serde(default, skip_serializing_if = "is_default")]
    pub period_anchor_day: AnchorDay,
}

/// How strictly limits are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitMode {
    /// Without a shared counter: a few calls too many may pass.
    #[default]
    Soft,
    /// With a shared counter: not one call too many passes.
    Hard,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A name that the IANA time zone database does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a time zone of the IANA database, such as `UTC` or `Asia/Kolkata`")]
pub struct UnknownTimeZone {
    given: String,
}

/// The time zone with an IANA name.
pub fn time_zone(name: &str) -> Result<TimeZone, UnknownTimeZone> {
    TimeZone::get(name).map_err(|_| UnknownTimeZone {
        given: name.to_owned(),
    })
}

/// The day of the month on which periods begin. In a month without it, they begin on its last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct AnchorDay(u8);

/// A number that is not a day of any month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a day from 1 to 31, found `{given}`")]
pub struct NotADay {
    given: u8,
}

impl AnchorDay {
    /// The first: periods are calendar months.
    pub const FIRST: Self = Self(1);
}

impl Default for AnchorDay {
    fn default() -> Self {
        Self::FIRST
    }
}

impl TryFrom<u8> for AnchorDay {
    type Error = NotADay;

    fn try_from(given: u8) -> Result<Self, NotADay> {
        if (1..=31).contains(&given) {
            Ok(Self(given))
        } else {
            Err(NotADay { given })
        }
    }
}

impl From<AnchorDay> for u8 {
    fn from(day: AnchorDay) -> Self {
        day.0
    }
}

/// The period that a quota and a bill cover: from a day of one month up to that of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first instant.
    pub start: UnixMillis,
    /// The first instant of the next period.
    pub end: UnixMillis,
}

impl Period {
    /// Whether the period contains `at`.
    pub fn holds(&self, at: UnixMillis) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// What decides where periods begin: a time zone, and a day of its months.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The time zone.
    pub zone: TimeZone,
    /// The day.
    pub anchor: AnchorDay,
}

impl Calendar {
    /// Calendar months in UTC.
    pub const UTC: Self = Self {
        zone: TimeZone::UTC,
        anchor: AnchorDay::FIRST,
    };

    /// The calendar of a zone by its IANA name; UTC if it is unknown, which no valid environment file
    /// allows.
    pub fn of(zone: &str, anchor: AnchorDay) -> Self {
        Self {
            zone: time_zone(zone).unwrap_or(TimeZone::UTC),
            anchor,
        }
    }

    /// The period that contains `at`.
    pub fn period(&self, at: UnixMillis) -> Period {
        let local = at.timestamp().to_zoned(self.zone.clone());
        let first = local.date().first_of_month();
        let start = |months: i32| {
            let month = first.saturating_add(Span::new().months(months));
            self.start_in(month.first_of_month())
        };
        // Of the month of `at`, or of the one before if `at` precedes the day.
        let (this, next) = (start(0), start(1));
        if at < this {
            Period {
                start: start(-1),
                end: this,
            }
        } else {
            Period {
                start: this,
                end: next,
            }
        }
    }

    /// The first instant of the period that begins in a month; `month` is any instant of it in UTC.
    pub fn start(&self, month: UnixMillis) -> UnixMillis {
        let date = month.timestamp().to_zoned(TimeZone::UTC).date();
        self.start_in(date.first_of_month())
    }

    fn start_in(&self, first: Date) -> UnixMillis {
        let after = i8::try_from(u8::from(self.anchor) - 1).unwrap_or(0);
        let after = after.min(first.days_in_month() - 1);
        let date = first.saturating_add(Span::new().days(after));
        let midnight = date.to_zoned(self.zone.clone());
        midnight.map_or(UnixMillis(0), |midnight| midnight.timestamp().into())
    }
}

impl Plan {
    /// The units per period of a user with this plan; the user's `own` quota comes first.
    pub fn quota(&self, own: Option<Quota>) -> Option<u64> {
        own.map_or(self.monthly_quota, Quota::calls)
    }

    /// The calendar of its periods.
    pub fn calendar(&self) -> Calendar {
        Calendar::of(&self.timezone, self.period_anchor_day)
    }

    /// The period that contains `at`.
    pub fn period(&self, at: UnixMillis) -> Period {
        self.calendar().period(at)
    }
}

/// The span of the periods that contain `at` on any plan; that of `at` alone without plans.
pub fn around(plans: &Plans, at: UnixMillis) -> Period {
    let instant = Period {
        start: at,
        end: at.plus_millis(1),
    };
    let periods = plans.values().map(|plan| plan.period(at));
    periods.fold(instant, |span, period| Period {
        start: span.start.min(period.start),
        end: span.end.max(period.end),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn zones() -> Vec<String> {
        let names = jiff::tz::db().available();
        let names: Vec<String> = names.map(|name| name.to_string()).collect();
        assert!(names.len() > 400, "{} zones", names.len());
        names
    }

    fn calendar(zone: &str, day: u8) -> Calendar {
        Calendar {
            zone: time_zone(zone).unwrap(),
            anchor: day.try_into().unwrap(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// 2020 to 2040, in every zone of the database, on every day.
        #[test]
        fn periods_of_every_zone_and_day_follow_one_another_and_begin_on_their_day(
            name in select(zones()),
            day in prop_oneof![1_u8..=31, select(vec![1, 28, 29, 30, 31])],
            at in 1_577_836_800_000_i64..2_208_988_800_000,
        ) {
            let calendar = calendar(&name, day);
            let at = UnixMillis(at);
            let period = calendar.period(at);
            prop_assert!(period.holds(at), "{name} {day} {at}");
            let date = |at: UnixMillis| at.timestamp().to_zoned(calendar.zone.clone()).date();
            for border in [period.start, period.end] {
                // The first instant of the day, or of the month's last if the month has no such day.
                let begins = date(border);
                let expected = i8::try_from(day).unwrap().min(begins.days_in_month());
                prop_assert_eq!(begins.day(), expected, "{} {} {}", name, day, border);
                prop_assert!(date(border.plus_millis(-1)) < begins);
                // Sums are kept by quarter hour.
                prop_assert_eq!(border.0 % 900_000, 0, "{} {}", name, border);
            }
            let (start, end) = (date(period.start), date(period.end));
            let months = |date: Date| 12 * i32::from(date.year()) + i32::from(date.month());
            prop_assert_eq!(months(end) - months(start), 1);
            prop_assert_eq!(calendar.period(period.end).start, period.end);
            prop_assert_eq!(calendar.period(period.end.plus_millis(-1)), period);
            prop_assert_eq!(calendar.period(period.start), period);
            // The same border, from the month that it lies in.
            let named = format!("{:04}-{:02}-01T00:00:00Z", start.year(), start.month());
            prop_assert_eq!(calendar.start(named.parse().unwrap()), period.start);
        }

        /// Readers add up no more than reaches from the earliest period's start to the latest one's end.
        #[test]
        fn the_span_around_an_instant_is_that_of_the_plans_periods(
            plans in proptest::collection::btree_map("[a-z]", (select(zones()), 1_u8..=31), 0..4),
            at in 1_577_836_800_000_i64..2_208_988_800_000,
        ) {
            let at = UnixMillis(at);
            let plans: Plans = plans
                .into_iter()
                .map(|(name, (timezone, day))| {
                    let plan = Plan {
                        timezone,
                        period_anchor_day: day.try_into().unwrap(),
                        ..serde_json::from_str(r#"{"ratePerSecond": 1, "burst": 1}"#).unwrap()
                    };
                    (name, plan)
                })
                .collect();
            let span = around(&plans, at);
            prop_assert!(span.holds(at));
            let periods: Vec<Period> = plans.values().map(|plan| plan.period(at)).collect();
            let earliest = periods.iter().map(|period| period.start).min();
            let latest = periods.iter().map(|period| period.end).max();
            prop_assert_eq!(span.start, earliest.unwrap_or(at));
            prop_assert_eq!(span.end, latest.unwrap_or(at.plus_millis(1)));
        }
    }

    #[test]
    fn a_period_ends_on_the_months_last_day_if_its_day_does_not_exist() {
        let borders = |day: u8, zone: &str, from: &str| {
            let calendar = calendar(zone, day);
            let mut period = calendar.period(from.parse().unwrap());
            let mut all = Vec::new();
            for _ in 0..4 {
                all.push(period.start.to_string());
                period = calendar.period(period.end);
            }
            all
        };
        // A leap year.
        let expected = [
            "2027-12-31T00:00:00Z",
            "2028-01-31T00:00:00Z",
            "2028-02-29T00:00:00Z",
            "2028-03-31T00:00:00Z",
        ];
        assert_eq!(borders(31, "UTC", "2028-01-15T00:00:00Z"), expected);
        // Not a leap year; clocks are put forward on the last Sunday of March.
        let expected = [
            "2027-01-28T23:00:00Z",
            "2027-02-27T23:00:00Z",
            "2027-03-28T22:00:00Z",
            "2027-04-28T22:00:00Z",
        ];
        assert_eq!(
            borders(29, "Europe/Berlin", "2027-02-01T00:00:00Z"),
            expected
        );
        // Cairo puts clocks forward at midnight: the day begins at one.
        let in_cairo = calendar("Africa/Cairo", 26);
        let changed: UnixMillis = "2024-04-25T22:00:00Z".parse().unwrap();
        assert_eq!(in_cairo.period(changed).start, changed);
        let local = changed.timestamp().to_zoned(in_cairo.zone.clone());
        assert_eq!((local.day(), local.hour()), (26, 1));
    }

    #[test]
    fn only_days_of_a_month_are_anchors() {
        for given in [0, 32, 255] {
            assert_eq!(AnchorDay::try_from(given), Err(NotADay { given }));
            let plan = format!(r#"{{"ratePerSecond": 5, "burst": 1, "periodAnchorDay": {given}}}"#);
            assert!(serde_json::from_str::<Plan>(&plan).is_err(), "{given}");
        }
        let plan = r#"{"ratePerSecond":5,"burst":1,"monthlyQuota":null,"alertsPercent":[],"limitMode":"soft","timezone":"UTC","periodAnchorDay":31}"#;
        let read: Plan = serde_json::from_str(plan).unwrap();
        assert_eq!(u8::from(read.period_anchor_day), 31);
        assert_eq!(serde_json::to_string(&read).unwrap(), plan);
    }

    #[test]
    fn a_month_begins_and_ends_by_the_plans_own_calendar() {
        let at: UnixMillis = "2026-11-30T19:00:00Z".parse().unwrap();
        let in_india = calendar("Asia/Kolkata", 1).period(at);
        assert_eq!(in_india.start.to_string(), "2026-11-30T18:30:00Z");
        assert_eq!(in_india.end.to_string(), "2026-12-31T18:30:00Z");
        let in_utc = Calendar::UTC.period(at);
        assert_eq!(in_utc.start.to_string(), "2026-11-01T00:00:00Z");
        assert_eq!(in_utc.end.to_string(), "2026-12-01T00:00:00Z");
        assert!(time_zone("Mars/Olympus").is_err());
    }

    #[test]
    fn a_plan_has_sensible_defaults_and_no_unknown_fields() {
        let plan: Plan = serde_json::from_str(r#"{"ratePerSecond": 5, "burst": 10}"#).unwrap();
        assert_eq!(plan.monthly_quota, None);
        assert_eq!(plan.limit_mode, LimitMode::Soft);
        assert_eq!(plan.timezone, "UTC");
        assert_eq!(plan.calendar(), Calendar::UTC);
        // Functions of earlier releases refuse members that they do not know.
        let written = serde_json::to_string(&plan).unwrap();
        assert!(!written.contains("periodAnchorDay"), "{written}");
        assert!(
            serde_json::from_str::<Plan>(r#"{"ratePerSecond": 5, "burst": 1, "rate": 1}"#).is_err()
        );
    }
}
