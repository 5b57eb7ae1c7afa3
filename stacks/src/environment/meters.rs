//! The meters of the environment file: what upstreams may report of calls.

use std::collections::BTreeMap;
use std::fmt;

use domain::meter::{self, LONGEST_NAME, MOST_METERS};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Usage that only the upstream knows, such as tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Meter {
    /// Whether each amount counts as so many units: `totalUnits` and quotas then hold it. Amounts
    /// are known only after a call, so no plan with a hard quota may exist beside it.
    pub counts_to_quota: bool,
}

impl From<&Meter> for meter::Meter {
    fn from(given: &Meter) -> Self {
        Self {
            counts_to_quota: given.counts_to_quota,
        }
    }
}

/// Meters by name; refuses a name that amounts could not carry, and too many of them.
pub(super) fn meters<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Meter>, D::Error> {
    deserializer.deserialize_map(Meters)
}

struct Meters;

impl<'de> Visitor<'de> for Meters {
    type Value = BTreeMap<String, Meter>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("meters by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut meters = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if !meter::is_name(&name) {
                return Err(A::Error::custom(format!(
                    "`{name}` cannot name a meter: 1 to {LONGEST_NAME} letters, digits, hyphens and \
                     underscores, a letter first"
                )));
            }
            // `tokens:` alone is a meter like any other.
            let meter = map.next_value::<Option<Meter>>()?.unwrap_or_default();
            if meters.insert(name.clone(), meter).is_some() {
                return Err(A::Error::custom(format!("meter `{name}` occurs twice")));
            }
            if meters.len() > MOST_METERS {
                return Err(A::Error::custom(format!(
                    "`{name}` is one meter too many: expected at most {MOST_METERS}"
                )));
            }
        }
        Ok(meters)
    }
}
