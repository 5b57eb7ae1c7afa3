//! Unknown keys that an address has tried: after twenty, further ones are refused without a
//! look-up, except for one per second.
//!
//! Keys that this instance has found before are not affected by other keys from the same address. A
//! valid key that it has not found yet competes with them for the one look-up per second, and is
//! refused until it gets one.

use std::collections::HashMap;

use domain::address::network;
use domain::limit::{Bucket, Rate};
use domain::time::UnixMillis;

/// How many unknown keys of one network are looked up.
const TRIES: Rate = Rate {
    per_second: 1,
    burst: 20,
};
/// The most networks to watch at a time, those with the most recent tries.
const MOST_NETWORKS: usize = 4_096;

/// Recent tries by network.
#[derive(Debug, Default)]
pub struct Tries {
    watched: HashMap<String, Watched>,
}

#[derive(Debug)]
struct Watched {
    left: Bucket,
    last: UnixMillis,
}

impl Tries {
    /// Whether an unknown key from `address` may be looked up at `now`.
    pub fn are_left(&self, address: &str, now: UnixMillis) -> bool {
        let watched = self.watched.get(&network(address));
        watched.is_none_or(|watched| watched.left.holds(now))
    }

    /// Records that a key from `address` turned out to be unknown.
    pub fn note(&mut self, address: &str, now: UnixMillis) {
        let network = network(address);
        if self.watched.len() >= MOST_NETWORKS && !self.watched.contains_key(&network) {
            self.make_room();
        }
        let watched = self.watched.entry(network);
        let watched = watched.or_insert_with(|| Watched {
            left: Bucket::full(TRIES),
            last: now,
        });
        watched.left.take(now, 1);
        watched.last = now;
    }

    /// Drops the older half: each eviction is a search.
    fn make_room(&mut self) {
        let mut ages: Vec<UnixMillis> = self.watched.values().map(|watched| watched.last).collect();
        ages.sort_unstable();
        let middle = ages.get(ages.len() / 2).copied().unwrap_or(UnixMillis(0));
        self.watched.retain(|_, watched| watched.last > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_795_363_445_000);

    #[test]
    fn an_address_has_twenty_tries_and_one_more_each_second() {
        let mut tries = Tries::default();
        for _ in 0..20 {
            assert!(tries.are_left("192.0.2.1", START));
            tries.note("192.0.2.1", START);
        }
        assert!(!tries.are_left("192.0.2.1", START.plus_millis(999)));
        assert!(tries.are_left("192.0.2.1", START.plus_millis(1_000)));
        assert!(tries.are_left("192.0.2.2", START));
    }

    #[test]
    fn a_network_shares_its_tries_and_a_crowd_is_watched_within_bounds() {
        let mut tries = Tries::default();
        for host in 1..=20 {
            tries.note(&format!("2001:db8:1:2::{host}"), START);
        }
        assert!(!tries.are_left("2001:db8:1:2::ff", START));
        for number in 0..3 * MOST_NETWORKS {
            let now = START.plus_millis(i64::try_from(number).unwrap());
            tries.note(
                &format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255),
                now,
            );
        }
        assert!(tries.watched.len() <= MOST_NETWORKS);
    }
}
