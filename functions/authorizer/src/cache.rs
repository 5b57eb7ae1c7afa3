//! A cache of the API-key table, by hash.
//!
//! A key that was found is used for 25 seconds, and read again after the response once it is ten
//! seconds old: a busy key never waits for the table, and a revoked one is refused within the
//! promised thirty. A key that was not found counts as missing for one second: long enough to
//! protect the table from a caller who retries in a loop, short enough for a key that was just
//! created. While the table does not respond, a key found in the last ten minutes stays valid.

use std::collections::HashMap;

use domain::key::KeyRecord;
use domain::time::UnixMillis;

use crate::decision::Found;

/// Age from which an entry is read again after a response.
pub const RENEWAL_MILLIS: i64 = 10_000;
/// Age from which an entry is read again before a response. Five seconds less than promised, to
/// allow for the read and for clocks.
pub const LONGEST_TRUST_MILLIS: i64 = 25_000;
const MISSING_MILLIS: i64 = 1_000;
const TRUSTED_IN_OUTAGE_MILLIS: i64 = 10 * 60 * 1_000;
/// How long an instance leaves a table alone that did not respond.
const PAUSE_MILLIS: i64 = 2_000;
/// The most entries, some 4 MB.
const MOST_ENTRIES: usize = 10_000;

/// The table's latest responses.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<String, Entry>,
    /// When the table last failed to respond, if it has not responded since.
    failed_at: Option<UnixMillis>,
}

/// The cache's knowledge of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// The result.
    pub found: Found,
    /// Whether to query the table again, after the response.
    pub is_due: bool,
}

impl Recalled {
    /// The result for a key that is not looked up.
    pub const UNKNOWN: Self = Self {
        found: Found::Unknown,
        is_due: false,
    };
}

#[derive(Debug)]
struct Entry {
    key: Option<KeyRecord>,
    as_of: UnixMillis,
}

impl Entry {
    fn is_younger(&self, millis: i64, now: UnixMillis) -> bool {
        is_within(self.as_of, millis, now)
    }
}

/// Whether `at` is less than `millis` ago. If a clock was set back, it counts as long ago instead
/// of recent forever.
fn is_within(at: UnixMillis, millis: i64, now: UnixMillis) -> bool {
    (0..millis).contains(&now.since(at))
}

impl Cache {
    /// The cache's knowledge of a hash at `now`; `None` if the table must be queried first.
    pub fn recall(&self, hash: &str, now: UnixMillis) -> Option<Recalled> {
        let entry = self.entries.get(hash)?;
        let Some(key) = &entry.key else {
            return entry.is_younger(MISSING_MILLIS, now).then_some(Recalled {
                found: Found::Unknown,
                is_due: false,
            });
        };
        // In an outage each caller would wait for the table in vain: it is queried after responses.
        // An instance that was frozen does not know whether the outage lasts.
        let is_outage = self.failed_within(LONGEST_TRUST_MILLIS, now);
        let trusted = if is_outage {
            TRUSTED_IN_OUTAGE_MILLIS
        } else {
            LONGEST_TRUST_MILLIS
        };
        entry.is_younger(trusted, now).then(|| Recalled {
            found: Found::Known(key.clone()),
            is_due: !entry.is_younger(RENEWAL_MILLIS, now)
                && !self.failed_within(PAUSE_MILLIS, now),
        })
    }

    /// Whether the table once had a key with this hash.
    pub fn has_known(&self, hash: &str) -> bool {
        self.entries
            .get(hash)
            .is_some_and(|entry| entry.key.is_some())
    }

    fn failed_within(&self, millis: i64, now: UnixMillis) -> bool {
        self.failed_at.is_some_and(|at| is_within(at, millis, now))
    }

    /// Stores the table's result for a hash, received at `now`.
    pub fn remember(&mut self, hash: &str, key: Option<KeyRecord>, now: UnixMillis) {
        self.failed_at = None;
        if self.entries.len() >= MOST_ENTRIES && !self.entries.contains_key(hash) {
            self.make_room(now);
        }
        self.entries
            .insert(hash.to_owned(), Entry { key, as_of: now });
    }

    /// Remembers that a key was used at `now`.
    pub fn note_use(&mut self, hash: &str, now: UnixMillis) {
        let key = self
            .entries
            .get_mut(hash)
            .and_then(|entry| entry.key.as_mut());
        if let Some(key) = key {
            key.more.last_used_at = Some(now);
        }
    }

    /// The cache's knowledge of a hash after the table did not respond.
    pub fn fall_back(&mut self, hash: &str, now: UnixMillis) -> Found {
        self.failed_at = Some(now);
        self.recall(hash, now)
            .map_or(Found::Unavailable, |recalled| recalled.found)
    }

    /// Drops entries that have expired; if that frees too few, also the oldest, missing keys first.
    /// Always many at once: each eviction is a search.
    fn make_room(&mut self, now: UnixMillis) {
        self.entries.retain(|_, entry| {
            let trusted = match entry.key {
                Some(_) => TRUSTED_IN_OUTAGE_MILLIS,
                None => MISSING_MILLIS,
            };
            entry.is_younger(trusted, now)
        });
        let spare = MOST_ENTRIES - MOST_ENTRIES / 8;
        let excess = self.entries.len().saturating_sub(spare);
        let mut by_value: Vec<(bool, UnixMillis, String)> = self
            .entries
            .iter()
            .map(|(hash, entry)| (entry.key.is_some(), entry.as_of, hash.clone()))
            .collect();
        by_value.sort_unstable();
        for (_, _, hash) in by_value.iter().take(excess) {
            self.entries.remove(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_795_363_445_000);

    fn key(id: &str) -> KeyRecord {
        KeyRecord {
            id: id.to_owned(),
            ..crate::testing::key()
        }
    }

    fn after(millis: i64) -> UnixMillis {
        START.plus_millis(millis)
    }

    /// The knowledge of a hash, and whether it is read again after the response.
    fn recalled(cache: &Cache, hash: &str, now: UnixMillis) -> Option<(Found, bool)> {
        let recalled = cache.recall(hash, now)?;
        Some((recalled.found, recalled.is_due))
    }

    #[test]
    fn a_key_is_renewed_after_ten_seconds_trusted_for_25_and_missing_for_one() {
        let mut cache = Cache::default();
        assert_eq!(cache.recall("a", START), None);
        cache.remember("a", Some(key("key_1")), START);
        cache.remember("b", None, START);
        let known = |is_due| Some((Found::Known(key("key_1")), is_due));
        assert_eq!(recalled(&cache, "a", after(9_999)), known(false));
        assert_eq!(recalled(&cache, "a", after(10_000)), known(true));
        assert_eq!(recalled(&cache, "a", after(24_999)), known(true));
        assert_eq!(recalled(&cache, "a", after(25_000)), None);
        assert_eq!(
            recalled(&cache, "b", after(999)),
            Some((Found::Unknown, false))
        );
        assert_eq!(recalled(&cache, "b", after(1_000)), None);
        assert_eq!(recalled(&cache, "a", after(-1)), None, "a clock set back");
    }

    #[test]
    fn an_outage_is_bridged_for_ten_minutes_and_only_for_known_keys() {
        let mut cache = Cache::default();
        cache.remember("a", Some(key("key_1")), START);
        cache.remember("b", None, START);
        let known = Found::Known(key("key_1"));
        assert_eq!(cache.fall_back("a", after(599_999)), known);
        assert_eq!(cache.fall_back("a", after(600_000)), Found::Unavailable);
        assert_eq!(cache.fall_back("b", after(5_000)), Found::Unavailable);
        assert_eq!(cache.fall_back("c", after(5_000)), Found::Unavailable);
    }

    #[test]
    fn in_an_outage_the_table_is_asked_after_answers_and_by_an_instance_that_slept_before() {
        let mut cache = Cache::default();
        cache.remember("a", Some(key("key_1")), START);
        cache.fall_back("a", after(60_000));
        let known = |is_due| Some((Found::Known(key("key_1")), is_due));
        assert_eq!(recalled(&cache, "a", after(61_999)), known(false));
        assert_eq!(recalled(&cache, "a", after(62_000)), known(true));
        assert_eq!(recalled(&cache, "a", after(84_999)), known(true));
        assert_eq!(recalled(&cache, "a", after(85_000)), None, "it slept");
        cache.fall_back("a", after(62_000));
        cache.remember("other", None, after(62_500));
        assert_eq!(
            recalled(&cache, "a", after(62_500)),
            None,
            "the outage is over"
        );
    }

    #[test]
    fn a_flood_of_invented_keys_displaces_no_real_one() {
        let mut cache = Cache::default();
        for real in 0..100 {
            cache.remember(&format!("real {real}"), Some(key("key_1")), START);
        }
        for invented in 0..3 * MOST_ENTRIES {
            cache.remember(&format!("invented {invented}"), None, after(1));
        }
        assert!(cache.entries.len() <= MOST_ENTRIES);
        for real in 0..100 {
            assert!(cache.recall(&format!("real {real}"), after(2)).is_some());
        }
        for late in 0..MOST_ENTRIES {
            cache.remember(&format!("late {late}"), Some(key("key_2")), after(2));
        }
        assert!(cache.entries.len() <= MOST_ENTRIES);
        assert_eq!(cache.recall("real 0", after(3)), None);
    }
}
