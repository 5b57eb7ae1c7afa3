//! `reports`: what is reported by the calendar.

use domain::calendar::Unit;
use domain::report::Units;
use schemars::JsonSchema;
use serde::Deserialize;

use super::text::Bounded;

/// Scheduled reports: their units of time, at least one, and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "ReportsSection")]
#[schemars(with = "ReportsSection")]
pub struct Reports {
    /// The units of time.
    pub units: Units,
    /// Days for which a report is kept.
    pub retention_days: Bounded<1, 3650>,
}

/// `reports` in the form of the file.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Reports")]
struct ReportsSection {
    /// One for each week, ten days after its Sunday.
    #[serde(default)]
    weekly: bool,
    /// One for each month, ten days after its last day.
    #[serde(default)]
    monthly: bool,
    /// Days for which a report is kept.
    #[serde(default = "year")]
    retention_days: Bounded<1, 3650>,
}

const fn year() -> Bounded<1, 3650> {
    Bounded::clamped(400)
}

impl TryFrom<ReportsSection> for Reports {
    type Error = &'static str;

    fn try_from(section: ReportsSection) -> Result<Self, Self::Error> {
        let asked = [(Unit::Week, section.weekly), (Unit::Month, section.monthly)];
        let units = asked.into_iter().filter(|(_, is_asked)| *is_asked);
        let units: Vec<_> = units.map(|(unit, _)| unit).collect();
        if units.is_empty() {
            return Err(
                "reports: there are none: expected `weekly: true`, `monthly: true` or both; leave \
                 `reports` out for none",
            );
        }
        Ok(Self {
            units: Units(units),
            retention_days: section.retention_days,
        })
    }
}
