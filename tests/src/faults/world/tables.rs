//! What happens to the tables apart from the functions: restores, expiry, other releases.

use std::collections::BTreeMap;

use aggregator::looks::Looked;
use domain::mark::DayMark;
use domain::state;
use domain::table::{ItemKey, JOURNAL_PREFIX, JournalKey};
use domain::time::{UnixMillis, Window};
use runtime::memory::MemoryStore;

use super::super::random::Random;
use super::super::schedule::{Past, Side};
use super::super::task::Doing;
use super::{KEPT_DAYS, World};

/// The maximum age of a copy when it is restored: what it lacks must still be in the journal, and
/// an event may have been seven days old.
const RESTORED_WITHIN: i64 = (KEPT_DAYS - 8) * 86_400_000;
/// The format of a later release.
const LATER: u8 = 250;
/// Items that an older release cannot read.
const UNREADABLE: usize = 3;

impl World {
    /// Restores the usage table. Marks are restored together with the data they vouch for.
    pub(super) fn restore(&mut self) {
        let now = self.now();
        if let Some(saved) = &self.saved
            && now.since(saved.at) < RESTORED_WITHIN
        {
            self.usage.restore(&saved.backup);
            self.unreadable.extend(saved.unreadable.iter().cloned());
            self.is_owed = true;
            self.is_steady = false;
            // A table is restored while nothing writes to it, and functions start anew.
            self.tasks
                .retain(|task| !matches!(task.doing, Doing::Tick | Doing::Fold { .. }));
            self.restart(Side::Changes, false);
            self.start_aggregators();
        }
    }

    /// An older release cannot read some items that a newer one wrote.
    pub(super) fn downgrade(&mut self, choice: u64) {
        self.upgrade();
        self.downgrades += 1;
        let mut random = Random::new(choice);
        for table in [&self.analytics, &self.usage] {
            let keys = table.keys();
            let keys: Vec<_> = keys.iter().filter(|key| has_format(key)).collect();
            for _ in 0..UNREADABLE.min(keys.len()) {
                let key = random.pick(&keys);
                table.tamper(key, |bytes| {
                    if let Some(first) = bytes.first_mut().filter(|first| **first != LATER) {
                        self.unreadable.push((key.clone(), *first));
                        *first = LATER;
                    }
                });
            }
        }
        self.is_steady &= self.unreadable.is_empty();
        // Caches no longer hold items that this release could not read.
        self.start_aggregators();
    }

    pub(super) fn upgrade(&mut self) {
        for (key, format) in self.unreadable.drain(..) {
            for table in [&self.analytics, &self.usage] {
                table.tamper(&key, |bytes| {
                    if let Some(first) = bytes.first_mut().filter(|first| **first == LATER) {
                        *first = format;
                    }
                });
            }
        }
    }

    /// Some expired items are deleted, hours before their journal or vice versa.
    pub(super) fn expire(&mut self, choice: u64, most: usize) {
        let mut random = Random::new(choice);
        let now = self.now();
        for table in [self.analytics.clone(), self.usage.clone()] {
            let mut expired = table.expired(now);
            for _ in 0..most.min(expired.len()) {
                let key = expired.swap_remove(random.place(expired.len()));
                self.delete(&table, &key);
            }
        }
    }

    /// Some of the items that may be deleted are, hours before their journal or vice versa, and then all.
    pub(super) async fn expire_all(&mut self, random: &mut Random) -> Result<(), String> {
        self.expire(random.next(), random.place(40));
        self.settle().await?;
        self.expire(random.next(), usize::MAX);
        Ok(())
    }

    /// Deletes an item, which the table's stream reports.
    pub(super) fn delete(&mut self, table: &MemoryStore, key: &ItemKey) {
        table.forget(key);
        if key.pk.starts_with(JOURNAL_PREFIX) {
            self.hear(key.clone(), "REMOVE");
        }
    }
}

/// Marks the days before the schedule.
pub(super) fn close_before(usage: &MemoryStore, start: UnixMillis, past: Past) {
    if past != Past::None {
        // They were closed by a release that hands over every period.
        let since = state::encode(&UnixMillis(0)).expect("an instant encodes");
        usage.plant(&ItemKey::periods_mark(), 1, since);
    }
    let mut mark = DayMark::begin(start);
    mark.finish();
    let closed = state::encode(&mark).expect("a mark encodes");
    mark.seal();
    mark.finish();
    let sealed = state::encode(&mark).expect("a mark encodes");
    let mut looked = BTreeMap::new();
    for ago in 2..30 {
        let key = ItemKey::day_mark(Window::Day.start(start).plus_days(-ago));
        let is_old = ago > 9;
        let state = match past {
            Past::Closed | Past::Sealed if is_old => &sealed,
            Past::Closed => &closed,
            Past::Sealed | Past::None => continue,
        };
        usage.plant(&key, 1, state.clone());
        looked.insert(Window::Day.start(start).plus_days(-ago), 1);
    }
    if past == Past::Closed {
        let looked = state::encode(&Looked::at_all_of(looked)).expect("progress encodes");
        usage.plant(&ItemKey::looks_mark(), 1, looked);
    }
}

/// Items that may have another format in a later release.
fn has_format(key: &ItemKey) -> bool {
    let is_entry = matches!(
        JournalKey::parse(&key.pk, &key.sk),
        Some(JournalKey::Entry(..))
    );
    let starts = ["USER#", "MINUTE#", "TOTAL#", "ADDRESS#"];
    is_entry || starts.iter().any(|start| key.pk.starts_with(start))
}
