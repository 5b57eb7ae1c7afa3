//! A cache of the API-key table, by hash.
//!
//! A key that was found is trusted for ten seconds, so that a revoked one is refused well within the
//! promised thirty. A key that was not found counts as missing for one second: long enough to spare
//! the table a caller who tries again and again, short enough for a key that was just made. While the
//! table does not answer, a key found in the last ten minutes stays valid.

use std::collections::HashMap;

use domain::key::KeyRecord;
use domain::time::UnixMillis;

use crate::decision::Found;

const TRUSTED_MILLIS: i64 = 10_000;
const MISSING_MILLIS: i64 = 1_000;
const TRUSTED_IN_OUTAGE_MILLIS: i64 = 10 * 60 * 1_000;
/// How long calls with a remembered key leave a table alone that did not answer: otherwise each of
/// them would wait for it in vain.
const PAUSE_MILLIS: i64 = 2_000;
/// Most entries, some 4 MB.
const MOST_ENTRIES: usize = 10_000;

/// The table's latest answers.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<String, Entry>,
    /// Until when the table is left alone.
    paused_until: Option<UnixMillis>,
}

#[derive(Debug)]
struct Entry {
    key: Option<KeyRecord>,
    as_of: UnixMillis,
}

impl Entry {
    fn is_younger(&self, millis: i64, now: UnixMillis) -> bool {
        // A clock that was set back makes an entry old, not young for ever.
        (0..millis).contains(&now.since(self.as_of))
    }
}

impl Cache {
    /// What the cache knows of a hash at `now`; `None` if the table must be asked.
    pub fn recall(&self, hash: &str, now: UnixMillis) -> Option<Found> {
        let entry = self.entries.get(hash)?;
        let paused = self.paused_until.is_some_and(|until| now < until);
        match &entry.key {
            Some(key) => {
                let trusted = if paused {
                    TRUSTED_IN_OUTAGE_MILLIS
                } else {
                    TRUSTED_MILLIS
                };
                entry
                    .is_younger(trusted, now)
                    .then(|| Found::Known(key.clone()))
            }
            None => entry
                .is_younger(MISSING_MILLIS, now)
                .then_some(Found::Unknown),
        }
    }

    /// Remembers the table's answer for a hash, given at `now`.
    pub fn remember(&mut self, hash: &str, key: Option<KeyRecord>, now: UnixMillis) {
        self.paused_until = None;
        if self.entries.len() >= MOST_ENTRIES && !self.entries.contains_key(hash) {
            self.make_room(now);
        }
        self.entries
            .insert(hash.to_owned(), Entry { key, as_of: now });
    }

    /// What the cache knows of a hash when the table did not answer.
    pub fn fall_back(&mut self, hash: &str, now: UnixMillis) -> Found {
        self.paused_until = Some(now.plus_millis(PAUSE_MILLIS));
        self.recall(hash, now).unwrap_or(Found::Unavailable)
    }

    /// Drops entries that have expired; if those are too few, also the oldest, missing keys first.
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

    #[test]
    fn a_key_is_trusted_for_ten_seconds_and_missing_for_one() {
        let mut cache = Cache::default();
        assert_eq!(cache.recall("a", START), None);
        cache.remember("a", Some(key("key_1")), START);
        cache.remember("b", None, START);
        assert_eq!(
            cache.recall("a", after(9_999)),
            Some(Found::Known(key("key_1")))
        );
        assert_eq!(cache.recall("a", after(10_000)), None);
        assert_eq!(cache.recall("b", after(999)), Some(Found::Unknown));
        assert_eq!(cache.recall("b", after(1_000)), None);
        assert_eq!(cache.recall("a", after(-1)), None, "a clock set back");
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
    fn the_table_is_asked_again_two_seconds_into_an_outage_and_trusted_when_it_answers() {
        let mut cache = Cache::default();
        cache.remember("a", Some(key("key_1")), START);
        let known = Found::Known(key("key_1"));
        assert_eq!(cache.fall_back("a", after(60_000)), known);
        assert_eq!(cache.recall("a", after(61_999)), Some(known));
        assert_eq!(cache.recall("a", after(62_000)), None);
        cache.fall_back("a", after(62_000));
        cache.remember("other", None, after(62_500));
        assert_eq!(cache.recall("a", after(62_500)), None);
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
