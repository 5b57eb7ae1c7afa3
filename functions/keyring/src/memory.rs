//! A table of keys in memory; its clones are the same table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::address::Blocked;
use domain::key::KeyRecord;

use crate::change::{Change, Entry};
use crate::error::TableError;
use crate::table::{KeyTable, Page, Pages};

/// [`KeyTable`] in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryKeys {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    keys: Vec<KeyRecord>,
    log: Vec<Entry>,
    blocked: Blocked,
    version: u64,
    /// The list that somebody else writes before the next change of it.
    met: Option<Blocked>,
    is_down: bool,
    /// What indexes show, while they are behind.
    indexed: Option<Vec<KeyRecord>>,
}

impl MemoryKeys {
    /// Stores a key, or replaces the one with its id, unrecorded.
    pub fn hold(&self, key: KeyRecord) {
        let mut held = self.lock();
        held.keys.retain(|known| known.id != key.id);
        held.keys.push(key);
    }

    /// Every key, in the order in which they were stored.
    pub fn keys(&self) -> Vec<KeyRecord> {
        self.lock().keys.clone()
    }

    /// The key with an id.
    pub fn key(&self, id: &str) -> KeyRecord {
        let keys = self.keys();
        let found = keys.into_iter().find(|key| key.id == id);
        found.unwrap_or_else(|| panic!("unknown key `{id}`"))
    }

    /// The audit log.
    pub fn log(&self) -> Vec<Entry> {
        self.lock().log.clone()
    }

    /// Stores a list of blocked addresses, unrecorded.
    pub fn hold_blocked(&self, list: Blocked) {
        let mut held = self.lock();
        held.blocked = list;
        held.version += 1;
    }

    /// Lets somebody else write `list` right before the next change of the blocked addresses.
    pub fn meet(&self, list: Blocked) {
        self.lock().met = Some(list);
    }

    /// Lets every call fail from now on, or no longer.
    pub fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// Lets indexes show the present keys until this is called with `false`.
    pub fn set_behind(&self, is_behind: bool) {
        let mut held = self.lock();
        held.indexed = is_behind.then(|| held.keys.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn indexed(&self) -> Result<Vec<KeyRecord>, TableError> {
        let held = self.lock();
        held.check()?;
        Ok(held.indexed.clone().unwrap_or_else(|| held.keys.clone()))
    }
}

impl Held {
    fn check(&self) -> Result<(), TableError> {
        if !self.is_down {
            return Ok(());
        }
        Err(TableError::Unreachable {
            operation: "Memory",
            source: "down".into(),
        })
    }
}

/// A key whose attributes are set to texts, or removed.
fn changed(key: &KeyRecord, set: &[(&'static str, Option<String>)]) -> KeyRecord {
    let mut attributes: BTreeMap<&str, String> = key.attributes().into_iter().collect();
    for (name, value) in set {
        match value {
            Some(value) => attributes.insert(name, value.clone()),
            None => attributes.remove(name),
        };
    }
    let get = |name: &str| attributes.get(name).map(String::as_str);
    KeyRecord::from_attributes(get).unwrap_or_else(|error| panic!("{error}"))
}

impl KeyTable for MemoryKeys {
    async fn find(&self, id: &str) -> Result<Option<KeyRecord>, TableError> {
        Ok(self.indexed()?.into_iter().find(|key| key.id == id))
    }

    async fn of_user(&self, email: &str) -> Result<Vec<KeyRecord>, TableError> {
        let mut keys = self.indexed()?;
        keys.retain(|key| key.email == email);
        keys.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        Ok(keys)
    }

    async fn page(&self, pages: &Pages) -> Result<Page, TableError> {
        let mut keys = match &pages.email {
            Some(email) => self.of_user(email).await?.into_iter().rev().collect(),
            None => self.indexed()?,
        };
        if let Some(after) = &pages.after {
            let place = keys.iter().position(|key| key.id == after.id);
            keys.drain(..place.map_or(0, |place| place + 1));
        }
        let is_more = keys.len() > pages.limit;
        keys.truncate(pages.limit);
        Ok(Page { keys, is_more })
    }

    async fn blocked(&self) -> Result<(Blocked, u64), TableError> {
        let held = self.lock();
        held.check()?;
        Ok((held.blocked.clone(), held.version))
    }

    async fn set_blocked(
        &self,
        list: &Blocked,
        version: u64,
        entry: &Entry,
    ) -> Result<bool, TableError> {
        let met = self.lock().met.take();
        if let Some(met) = met {
            self.hold_blocked(met);
        }
        let mut held = self.lock();
        held.check()?;
        if held.version != version {
            return Ok(false);
        }
        held.version += 1;
        held.blocked = list.clone();
        held.log.push(entry.clone());
        Ok(true)
    }

    async fn commit(&self, change: &Change) -> Result<bool, TableError> {
        let mut named: Vec<&str> = change.guards.iter().map(|of| &*of.key.key_hash).collect();
        named.extend(change.insert.as_ref().map(|new| &*new.key_hash));
        named.sort_unstable();
        assert!(
            named.array_windows().all(|[one, other]| one != other),
            "DynamoDB refuses a transaction that names an item twice: {change:?}"
        );
        let mut held = self.lock();
        held.check()?;
        let before = held.keys.clone();
        for guard in &change.guards {
            let found = held.keys.iter_mut().find(|key| key.id == guard.key.id);
            let Some(key) = found else {
                held.keys = before;
                return Ok(false);
            };
            let current = crate::Guard {
                key: key.clone(),
                ..guard.clone()
            };
            if current.expected() != guard.expected() {
                held.keys = before;
                return Ok(false);
            }
            *key = changed(key, &guard.set);
        }
        if let Some(new) = &change.insert {
            if held.keys.iter().any(|key| key.key_hash == new.key_hash) {
                held.keys = before;
                return Ok(false);
            }
            held.keys.push(new.clone());
        }
        held.log.push(change.entry.clone());
        Ok(true)
    }
}
