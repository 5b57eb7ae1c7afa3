//! The hours that this instance wrote, as it last wrote them.
//!
//! A fold writes most users' hours once per window, and other instances rarely write them. The
//! table usually holds what this instance wrote, so the instance does not read it. If the table
//! holds something else, the write's condition fails and the refusal returns the stored item. A
//! wrong guess costs one refused write and never a count.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::table::ItemKey;
use domain::time::UnixMillis;
use runtime::store::Stored;

/// Upper bound for the bytes of cached states.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Hours are written while they last, and a little longer: lines of the access log arrive later.
const KEPT_MILLIS: i64 = 2 * 3_600_000;

/// This instance's knowledge of the table.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    hours: HashMap<ItemKey, (UnixMillis, Stored)>,
    bytes: usize,
    /// When this instance first asked about an hour.
    since: Option<UnixMillis>,
}

/// The cache's knowledge of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Guess {
    /// The table holds what this instance wrote.
    Held(Stored),
    /// The item does not exist: otherwise this instance would have written it since it started.
    Absent,
    /// Nothing is known.
    Unknown,
}

impl Cache {
    /// Guesses the state of an item of the hour that begins at `hour`.
    pub(crate) fn guess(&self, key: &ItemKey, hour: UnixMillis) -> Guess {
        let kept = self.lock();
        match kept.hours.get(key) {
            Some((_, stored)) => Guess::Held(stored.clone()),
            None if kept.since.is_some_and(|since| since <= hour) => Guess::Absent,
            None => Guess::Unknown,
        }
    }

    /// Remembers what was written.
    pub(crate) fn keep(&self, key: &ItemKey, hour: UnixMillis, stored: Stored) {
        let mut kept = self.lock();
        kept.bytes += size(key, &stored);
        if let Some((_, before)) = kept.hours.insert(key.clone(), (hour, stored)) {
            kept.bytes = kept.bytes.saturating_sub(size(key, &before));
        }
    }

    /// Forgets an item whose state in the table is unknown.
    pub(crate) fn forget(&self, key: &ItemKey) {
        let mut kept = self.lock();
        if let Some((_, before)) = kept.hours.remove(key) {
            kept.bytes = kept.bytes.saturating_sub(size(key, &before));
            // The item exists: no guess may say otherwise.
            kept.since = None;
        }
    }

    /// Forgets hours that are no longer written, and everything if that does not free enough.
    pub(crate) fn tidy(&self, now: UnixMillis) {
        let mut kept = self.lock();
        kept.since.get_or_insert(now);
        let oldest = now.plus_millis(-KEPT_MILLIS);
        kept.hours.retain(|_, (hour, _)| *hour >= oldest);
        let sizes = kept.hours.iter();
        kept.bytes = sizes.map(|(key, (_, stored))| size(key, stored)).sum();
        if kept.bytes > MOST_BYTES {
            kept.hours.clear();
            kept.bytes = 0;
            // An item that was dropped may exist in the table.
            kept.since = Some(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(key: &ItemKey, stored: &Stored) -> usize {
    key.pk.len() + key.sk.len() + stored.state.len() + 96
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_known_and_what_is_old_or_too_much_is_not() {
        let cache = Cache::default();
        let hour = UnixMillis(1_795_363_200_000);
        let key = ItemKey::hour("a@b", hour);
        let stored = Stored {
            version: 3,
            state: vec![7; 100],
        };
        assert_eq!(cache.guess(&key, hour), Guess::Unknown);
        cache.tidy(hour.plus_millis(1));
        assert_eq!(cache.guess(&key, hour), Guess::Unknown);
        let next = hour.plus_millis(3_600_000);
        assert_eq!(cache.guess(&key, next), Guess::Absent);
        cache.keep(&key, hour, stored.clone());
        assert_eq!(cache.guess(&key, hour), Guess::Held(stored.clone()));
        cache.forget(&key);
        assert_eq!(cache.guess(&key, next), Guess::Unknown);
        cache.keep(&key, hour, stored.clone());
        cache.tidy(hour.plus_millis(KEPT_MILLIS));
        assert_eq!(cache.guess(&key, hour), Guess::Held(stored));
        cache.tidy(hour.plus_millis(KEPT_MILLIS + 1));
        assert_eq!(cache.guess(&key, hour), Guess::Unknown);
        let large = Stored {
            version: 1,
            state: vec![0; MOST_BYTES],
        };
        cache.keep(&key, next, large);
        cache.tidy(next);
        assert_eq!(cache.guess(&key, hour), Guess::Unknown);
        assert_eq!(cache.lock().bytes, 0);
    }
}
