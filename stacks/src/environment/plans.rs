//! The plans of the environment file, and the part of them that the functions get.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::text::{Bounded, TimeZone};

/// The limits of a plan's users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Sustained calls per second.
    pub rate_per_second: Bounded<1, 100_000>,
    /// Calls accepted at once above the rate.
    pub burst: Bounded<1, 1_000_000>,
    /// Units per period; `null` for no limit.
    #[serde(default)]
    pub monthly_quota: Option<u64>,
    /// Percentages of the quota at which an alert is sent.
    #[serde(default)]
    pub alerts_percent: Vec<Bounded<1, 200>>,
    /// Whether calls may exceed limits slightly in exchange for speed.
    #[serde(default)]
    pub limit_mode: LimitMode,
    /// IANA time zone in whose calendar periods begin; by default UTC.
    pub timezone: Option<TimeZone>,
    /// The day of the month on which periods begin, for quotas, alerts and bills; by default the first. In a
    /// month without it, they begin on its last day.
    pub period_anchor_day: Option<Bounded<1, 31>>,
}

/// How strictly limits are enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LimitMode {
    /// Without a shared counter: a few calls too many may pass.
    #[default]
    Soft,
    /// With a shared counter: not one call too many passes.
    Hard,
}

impl From<&Plan> for domain::plan::Plan {
    fn from(plan: &Plan) -> Self {
        Self {
            rate_per_second: plan.rate_per_second.get(),
            burst: plan.burst.get(),
            monthly_quota: plan.monthly_quota,
            alerts_percent: plan
                .alerts_percent
                .iter()
                .filter_map(|percent| u8::try_from(percent.get()).ok())
                .collect(),
            limit_mode: match plan.limit_mode {
                LimitMode::Soft => domain::plan::LimitMode::Soft,
                LimitMode::Hard => domain::plan::LimitMode::Hard,
            },
            timezone: plan
                .timezone
                .as_ref()
                .map_or_else(|| "UTC".to_owned(), ToString::to_string),
            period_anchor_day: plan
                .period_anchor_day
                .and_then(|day| u8::try_from(day.get()).ok()?.try_into().ok())
                .unwrap_or_default(),
        }
    }
}

impl Serialize for TimeZone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Plans by name; refuses a name that a key could not carry.
pub(super) fn plans<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Plan>, D::Error> {
    deserializer.deserialize_map(Plans)
}

struct Plans;

impl<'de> Visitor<'de> for Plans {
    type Value = BTreeMap<String, Plan>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plans by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut plans = BTreeMap::new();
        while let Some((name, plan)) = map.next_entry::<String, Plan>()? {
            let fits = (1..=64).contains(&name.len())
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            if !fits {
                return Err(A::Error::custom(format!(
                    "`{name}` cannot name a plan: 1 to 64 lower-case letters, digits and hyphens"
                )));
            }
            if plans.insert(name.clone(), plan).is_some() {
                return Err(A::Error::custom(format!("plan `{name}` occurs twice")));
            }
        }
        if plans.is_empty() {
            return Err(A::Error::custom("there are no plans; a key needs one"));
        }
        Ok(plans)
    }
}
