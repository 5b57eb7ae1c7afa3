//! Meters: usage that only the upstream knows, such as tokens, rows or bytes.
//!
//! The environment file declares the meters, so that nobody invents one. An upstream reports the
//! [`Amount`] of a meter for a call; the call's event id says which call. An amount's identity is
//! the call and the meter: reported again it is the same fact, and of several different amounts the
//! greatest counts (see [`crate::fold`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::EventId;

mod report;

pub use report::{EVENT_TYPE, MOST_EVENTS, Report, decode, settled};

/// The path at which upstreams report.
pub const PATH: &str = "/v1/usage/events";
/// The most meters that an environment may declare.
pub const MOST_METERS: usize = 10;
/// Longest name of a meter in bytes.
pub const LONGEST_NAME: usize = 32;
/// The most that one amount may be. Ten million calls of that amount still fit into 64 bits.
pub const MOST_AMOUNT: u64 = 1_000_000_000_000;

/// Amounts by meter.
pub type Amounts = BTreeMap<String, u64>;

/// How much of a meter one call used. The order is by call, then by meter, then by amount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount {
    /// The event id of the call.
    pub call: EventId,
    /// The meter.
    pub meter: String,
    /// How much of it.
    pub amount: u64,
    /// Whether the amount counts towards the quota, in units.
    pub to_quota: bool,
}

/// How a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Meter {
    /// Whether its amounts are units that count towards the quota.
    pub counts_to_quota: bool,
}

/// The declared meters, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Meters(pub BTreeMap<String, Meter>);

impl Meters {
    /// The meters' names, for messages.
    pub fn names(&self) -> String {
        let names = self.0.keys().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    }
}

/// Whether `name` may name a meter: a letter, then letters, digits, `-` or `_`, at most
/// [`LONGEST_NAME`] bytes.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= LONGEST_NAME
        && bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Adds amounts to others.
pub fn add(to: &mut Amounts, amounts: &Amounts) {
    for (meter, amount) in amounts {
        if let Some(known) = to.get_mut(meter) {
            *known += amount;
        } else {
            to.insert(meter.clone(), *amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_letter_and_letters_digits_and_dashes() {
        for name in ["tokens", "T", "rows-read", "gpu_ms2", &"a".repeat(32)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2d", "-a", "a b", "a.b", "tökens", &"a".repeat(33)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
