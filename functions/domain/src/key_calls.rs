//! Calls by the key that made them, of one user.
//!
//! A key is named by its id, never by its secret. Only accepted calls count: a refused key says
//! nothing about its user. The number of keys that are counted apart is bounded: those with most
//! calls keep counts of their own, all others count as [`OTHER`](crate::counts::OTHER). As with dimensions
//! ([`crate::dimension`]), the bound is a function of the counts alone: a minute is bounded when it
//! is folded, and a sum once all of its parts are added up.
//!
//! Calls that releases without these counts have folded are under no key.

use std::collections::BTreeMap;

use crate::dimension::{Dimension, Share};

/// Calls by the id of their key; [`OTHER`](crate::counts::OTHER) holds those of keys that are not counted apart.
pub type KeyCalls = BTreeMap<String, u64>;

/// The most keys of a user that a minute or a sum counts apart. A user may have ten working keys;
/// a sum over all time also holds those that were replaced.
pub const MOST_KEYS: u8 = 50;
/// The most bytes that the ids of a minute's keys may take: [`MOST_KEYS`] of ours take 1,000. Keys
/// that the environment imported may have longer ones.
pub const MOST_BYTES: usize = 1_024;

/// The same calls with at most [`MOST_KEYS`] keys apart.
pub fn bounded(calls: &KeyCalls) -> KeyCalls {
    within(calls, usize::MAX)
}

/// Likewise, of a minute.
pub fn bounded_minute(calls: &KeyCalls) -> KeyCalls {
    within(calls, MOST_BYTES)
}

fn within(calls: &KeyCalls, bytes: usize) -> KeyCalls {
    let shares = calls.iter().map(|(key, calls)| {
        let share = Share {
            calls: *calls,
            units: 0,
        };
        (key.as_str(), share)
    });
    let bounded = Dimension::of(MOST_KEYS, bytes, shares).values.into_iter();
    bounded.map(|(key, share)| (key, share.calls)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::OTHER;

    fn keys(count: u64) -> KeyCalls {
        let keys = 1..=count;
        keys.map(|number| (format!("key_{number:016x}"), number))
            .collect()
    }

    #[test]
    fn the_keys_with_most_calls_count_apart_and_no_call_is_lost() {
        let most = u64::from(MOST_KEYS);
        assert_eq!(bounded(&keys(most)), keys(most));
        let bounded = bounded(&keys(most + 2));
        assert_eq!(bounded.len(), usize::from(MOST_KEYS) + 1);
        assert_eq!(bounded.get(OTHER), Some(&(1 + 2)));
        let sum = |calls: &KeyCalls| calls.values().sum::<u64>();
        assert_eq!(sum(&bounded), sum(&keys(most + 2)));
    }

    #[test]
    fn ids_of_ours_fit_a_minute_and_longer_ones_are_bounded_by_their_bytes() {
        let most = u64::from(MOST_KEYS);
        assert_eq!(bounded_minute(&keys(most)), keys(most));
        let long: KeyCalls = (1..=most)
            .map(|number| (format!("{number:064}"), 1))
            .collect();
        let bounded = bounded_minute(&long);
        assert_eq!(bounded.len(), MOST_BYTES / 64 + 1);
        assert_eq!(bounded.values().sum::<u64>(), most);
    }
}
