//! Plans: a user's limits, and the period over which usage is counted.

use std::collections::BTreeMap;

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
    /// Units per calendar month; `None` for no limit.
    #[serde(default)]
    pub monthly_quota: Option<u64>,
    /// Percentages of the quota at which an alert is sent.
    #[serde(default)]
    pub alerts_percent: Vec<u8>,
    /// Whether calls may exceed limits slightly in exchange for speed.
    #[serde(default)]
    pub limit_mode: LimitMode,
    /// IANA name of the time zone whose months are the quota's periods.
    #[serde(default = "utc")]
    pub timezone: String,
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

/// The calendar month that a quota covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// First instant of the month in its time zone.
    pub start: UnixMillis,
    /// First instant of the next month.
    pub end: UnixMillis,
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

impl Period {
    /// The month that contains `at` in the calendar of `zone`.
    pub fn of(at: UnixMillis, zone: &TimeZone) -> Self {
        let first = at
            .timestamp()
            .to_zoned(zone.clone())
            .date()
            .first_of_month();
        let next = first.saturating_add(Span::new().months(1));
        let start_of = |date: jiff::civil::Date| {
            date.to_zoned(zone.clone())
                .map_or(at, |start| start.timestamp().into())
        };
        Self {
            start: start_of(first),
            end: start_of(next),
        }
    }
}

impl Period {
    /// Whether the period contains `at`.
    pub fn holds(&self, at: UnixMillis) -> bool {
        (self.start..self.end).contains(&at)
    }
}

impl Plan {
    /// The units per period of a user with this plan; the user's `own` quota comes first.
    pub fn quota(&self, own: Option<Quota>) -> Option<u64> {
        own.map_or(self.monthly_quota, Quota::calls)
    }

    /// The period that contains `at`; of UTC if the zone is unknown, which no valid environment
    /// file allows.
    pub fn period(&self, at: UnixMillis) -> Period {
        Period::of(at, &time_zone(&self.timezone).unwrap_or(TimeZone::UTC))
    }
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// 2020 to 2040, in every zone of the database.
        #[test]
        fn periods_of_every_zone_follow_one_another_and_hold_their_month(
            name in select(zones()),
            at in 1_577_836_800_000_i64..2_208_988_800_000,
        ) {
            let zone = time_zone(&name).unwrap();
            let at = UnixMillis(at);
            let period = Period::of(at, &zone);
            prop_assert!(period.holds(at), "{name} {at}");
            let month = |at: UnixMillis| {
                let date = at.timestamp().to_zoned(zone.clone()).date();
                (date.year(), date.month())
            };
            prop_assert_eq!(month(period.start), month(at));
            prop_assert_eq!(month(period.end.plus_millis(-1)), month(at));
            prop_assert_ne!(month(period.end), month(at));
            prop_assert_ne!(month(period.start.plus_millis(-1)), month(at));
            prop_assert_eq!(Period::of(period.end, &zone).start, period.end);
            prop_assert_eq!(Period::of(period.end.plus_millis(-1), &zone), period);
            // Sums are kept by quarter hour.
            prop_assert_eq!(period.start.0 % 900_000, 0, "{} {}", name, period.start);
        }
    }

    #[test]
    fn a_month_begins_and_ends_by_the_plans_own_calendar() {
        let at: UnixMillis = "2026-11-30T19:00:00Z".parse().unwrap();
        let in_india = Period::of(at, &time_zone("Asia/Kolkata").unwrap());
        assert_eq!(in_india.start.to_string(), "2026-11-30T18:30:00Z");
        assert_eq!(in_india.end.to_string(), "2026-12-31T18:30:00Z");
        let in_utc = Period::of(at, &time_zone("UTC").unwrap());
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
        assert!(
            serde_json::from_str::<Plan>(r#"{"ratePerSecond": 5, "burst": 1, "rate": 1}"#).is_err()
        );
    }
}
