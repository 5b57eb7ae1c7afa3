//! [`Store`] in memory, with the conditions of the real one, with faults on demand, and with a
//! meter of what DynamoDB would bill: the basis of the tests of everything above a table.
//!
//! A store can be *paced*: each call then pauses before it takes effect, and each write once more
//! before it returns. A test that polls several callers by hand so decides which of them continues,
//! and which dies there. Nothing here waits for time.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use domain::state;
use domain::table::{ItemKey, attribute};
use domain::time::UnixMillis;

use crate::store::{
    Condition, Document, NewItem, Page, Query, Row, Shown, Store, StoreError, Stored, Value,
    Written,
};

mod faults;
mod partitions;
mod trace;
mod units;

use faults::Faults;
pub use faults::{Call, Fault, dies_at};
use partitions::Partitions;
pub use trace::Done;
pub use units::Units;

/// The size limit of an item in bytes
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>).
const LARGEST_ITEM: usize = 400 * 1024;
/// The size limit of a page in bytes, from the same page.
const LARGEST_PAGE: usize = 1024 * 1024;

/// A write that took effect, as a table's stream of keys reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The item's key.
    pub key: ItemKey,
    /// Whether it existed before.
    pub is_update: bool,
}

/// The place where paced callers pause.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<Pausing>);

#[derive(Debug, Default)]
struct Pausing {
    stops: AtomicU64,
    is_free: AtomicBool,
}

impl Pace {
    /// How often any caller has paused: a caller that is pending without pausing waits for time.
    pub fn stops(&self) -> u64 {
        self.0.stops.load(Ordering::Relaxed)
    }

    /// Whether callers go on without a pause from now on.
    pub fn set_free(&self, is_free: bool) {
        self.0.is_free.store(is_free, Ordering::Relaxed);
    }

    /// Pauses until polled again.
    pub async fn stop(&self) {
        let mut stopped = self.0.is_free.load(Ordering::Relaxed);
        poll_fn(|context| {
            if stopped {
                return Poll::Ready(());
            }
            stopped = true;
            self.0.stops.fetch_add(1, Ordering::Relaxed);
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// What a table holds under a key.
#[derive(Debug, Clone)]
enum Held {
    Item(Stored, Shown),
    Document(Document),
}

impl Held {
    const fn expires_at(&self) -> Option<UnixMillis> {
        match self {
            Self::Item(_, shown) => shown.expires_at,
            Self::Document(document) => document.expires_at,
        }
    }

    const fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Item(stored, _) => Some(stored),
            Self::Document(_) => None,
        }
    }

    fn row(&self, sk: &str, name: &str) -> Row {
        let (version, bytes) = match self {
            Self::Item(stored, _) => {
                let state = (name == attribute::STATE).then(|| stored.state.clone());
                (stored.version, state)
            }
            Self::Document(document) => {
                let value = document.attributes.iter().find(|(of, _)| *of == name);
                let bytes = value.and_then(|(_, value)| match value {
                    Value::Bytes(bytes) => Some(bytes.clone()),
                    _ => None,
                });
                (0, bytes)
            }
        };
        Row {
            sk: sk.to_owned(),
            version,
            bytes,
        }
    }
}

#[derive(Default)]
struct Table {
    held: Partitions,
    /// Prefix of the partitions whose changes are kept.
    journalled: Option<&'static str>,
    journal: Vec<Change>,
    /// The calls that took effect, if a test asks for them.
    trace: Option<Vec<Done>>,
    units: Units,
    /// The most items per page.
    page: Option<usize>,
}

/// A table in memory; its clones are the same table.
#[derive(Clone, Default)]
pub struct MemoryStore {
    table: Arc<Mutex<Table>>,
    faults: Arc<Mutex<Option<Faults>>>,
    pace: Option<Pace>,
}

/// A copy of a table's whole content, to be restored later.
pub struct Backup(Partitions);

impl MemoryStore {
    /// An empty table whose callers pause at `pace`, and which keeps the changes of the partitions
    /// that start with `journalled`.
    pub fn paced(pace: Pace, journalled: Option<&'static str>) -> Self {
        Self {
            pace: Some(pace),
            ..Self::journalled(journalled)
        }
    }

    /// An empty table that keeps the changes of the partitions that start with `journalled`.
    pub fn journalled(journalled: Option<&'static str>) -> Self {
        let table = Table {
            journalled,
            ..Table::default()
        };
        Self {
            table: Arc::new(Mutex::new(table)),
            faults: Arc::default(),
            pace: None,
        }
    }

    /// Limits pages to this many items from now on.
    pub fn page_by(&self, items: usize) {
        lock(&self.table).page = Some(items.max(1));
    }

    /// Lets `faults` decide the fate of each call from now on.
    pub fn inject(&self, faults: impl FnMut(Call, &ItemKey) -> Fault + Send + 'static) {
        *lock(&self.faults) = Some(Box::new(faults));
    }

    /// Records calls from now on.
    pub fn trace(&self) {
        lock(&self.table).trace = Some(Vec::new());
    }

    /// The calls since [`trace`](Self::trace), in order.
    pub fn traced(&self) -> Vec<Done> {
        lock(&self.table).trace.take().unwrap_or_default()
    }

    /// What DynamoDB would have billed so far.
    pub fn units(&self) -> Units {
        lock(&self.table).units
    }

    /// Passes every item to `show`, in the order of keys.
    pub fn each_item(&self, mut show: impl FnMut(&ItemKey, &Stored)) {
        for (key, held) in lock(&self.table).held.iter() {
            if let Held::Item(stored, _) = held {
                show(&key, stored);
            }
        }
    }

    /// Passes every document to `show`, in the order of keys.
    pub fn each_document(&self, mut show: impl FnMut(&ItemKey, &Document)) {
        for (key, held) in lock(&self.table).held.iter() {
            if let Held::Document(document) = held {
                show(&key, document);
            }
        }
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<ItemKey> {
        let table = lock(&self.table);
        table.held.iter().map(|(key, _)| key).collect()
    }

    /// Writes an item, bypassing faults and conditions.
    pub fn plant(&self, key: &ItemKey, version: u64, state: Vec<u8>) {
        let mut table = lock(&self.table);
        let before = table.held.get(key).and_then(Held::stored).cloned();
        table.note(|| Done::Put {
            key: key.clone(),
            item: NewItem {
                version,
                state: state.clone(),
                shown: Shown::default(),
                condition: Condition::Version(before.as_ref().map_or(0, |item| item.version)),
            },
            written: Written::Done { before },
        });
        let held = Held::Item(Stored { version, state }, Shown::default());
        table.held.insert(key, held);
    }

    /// Writes a document, bypassing faults; its change is kept like any other.
    pub fn plant_document(&self, key: &ItemKey, document: Document) {
        let mut table = lock(&self.table);
        table.change(key);
        table.held.insert(key, Held::Document(document));
    }

    /// The item under `key`, bypassing faults.
    pub fn peek(&self, key: &ItemKey) -> Option<Stored> {
        lock(&self.table).held.get(key)?.stored().cloned()
    }

    /// Changes the bytes under `key`, if there are any, bypassing faults: an item's state or an
    /// entry's facts.
    pub fn tamper(&self, key: &ItemKey, change: impl FnOnce(&mut Vec<u8>)) {
        let mut table = lock(&self.table);
        match table.held.get_mut(key) {
            Some(Held::Item(stored, _)) => change(&mut stored.state),
            Some(Held::Document(document)) => {
                let mut attributes = document.attributes.iter_mut();
                let facts = attributes.find(|(name, _)| *name == attribute::FACTS);
                if let Some((_, Value::Bytes(bytes))) = facts {
                    change(bytes);
                }
            }
            None => {}
        }
    }

    /// The document under `key`, bypassing faults.
    pub fn peek_document(&self, key: &ItemKey) -> Option<Document> {
        match lock(&self.table).held.get(key)? {
            Held::Document(document) => Some(document.clone()),
            Held::Item(..) => None,
        }
    }

    /// Deletes the content under `key`, bypassing faults.
    pub fn forget(&self, key: &ItemKey) {
        lock(&self.table).held.remove(key);
    }

    /// The changes kept since the last call, in the order of their writes.
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut lock(&self.table).journal)
    }

    /// The keys of items that may be deleted at `now`.
    pub fn expired(&self, now: UnixMillis) -> Vec<ItemKey> {
        let table = lock(&self.table);
        let gone = |held: &Held| held.expires_at().is_some_and(|at| at <= now);
        let gone = table.held.iter().filter(|(_, held)| gone(held));
        gone.map(|(key, _)| key).collect()
    }

    /// Deletes everything that may be deleted at `now`, as `DynamoDB` does sooner or later, and
    /// returns the keys.
    pub fn expire(&self, now: UnixMillis) -> Vec<ItemKey> {
        let expired = self.expired(now);
        let mut table = lock(&self.table);
        for key in &expired {
            table.held.remove(key);
            table.note(|| Done::Delete { key: key.clone() });
        }
        expired
    }

    /// A copy of the whole content.
    pub fn backup(&self) -> Backup {
        Backup(lock(&self.table).held.clone())
    }

    /// Restores the content of a backup.
    pub fn restore(&self, backup: &Backup) {
        lock(&self.table).held.clone_from(&backup.0);
    }

    /// Pauses, then lets `faults` decide.
    async fn begin(&self, call: Call, key: &ItemKey) -> Fault {
        if let Some(pace) = &self.pace {
            pace.stop().await;
        }
        lock(&self.faults)
            .as_mut()
            .map_or(Fault::None, |faults| faults(call, key))
    }

    /// Returns the result of a write under `fault`.
    async fn answer(&self, fault: Fault, key: &ItemKey) -> Result<(), StoreError> {
        if let Some(pace) = &self.pace {
            pace.stop().await;
        }
        answer(fault, key).await
    }
}

/// The result of a call under `fault`, as its caller sees it.
async fn answer(fault: Fault, key: &ItemKey) -> Result<(), StoreError> {
    let table = "memory".to_owned();
    let source = "injected";
    match fault {
        Fault::None => Ok(()),
        Fault::Refused | Fault::AnswerLost => Err(StoreError::Unavailable {
            table,
            source: source.into(),
        }),
        Fault::Throttled => Err(StoreError::Throttled {
            table,
            source: source.into(),
        }),
        Fault::Missing => Err(StoreError::TableMissing { table }),
        Fault::TooLarge => Err(StoreError::TooLarge { key: key.clone() }),
        Fault::Hangs | Fault::DoneAndHangs => pending().await,
    }
}

impl Table {
    fn note(&mut self, done: impl FnOnce() -> Done) {
        if let Some(trace) = &mut self.trace {
            trace.push(done());
        }
    }

    fn change(&mut self, key: &ItemKey) {
        let is_journalled = self
            .journalled
            .is_some_and(|start| key.pk.starts_with(start));
        if is_journalled {
            self.journal.push(Change {
                key: key.clone(),
                is_update: self.held.get(key).is_some(),
            });
        }
    }

    fn holds(&self, key: &ItemKey, item: &NewItem) -> bool {
        let known = self.held.get(key);
        let version = known.and_then(Held::stored).map(|stored| stored.version);
        match item.condition {
            Condition::Version(0) => known.is_none(),
            Condition::Version(read) => version == Some(read),
            Condition::Lower => known.is_none_or(|held| {
                let stored = held.stored();
                stored.is_some_and(|stored| {
                    let format = stored.state.first().copied().unwrap_or(0);
                    stored.version < item.version && format <= state::LATEST
                })
            }),
        }
    }

    fn write(&mut self, key: &ItemKey, item: NewItem) -> Result<Written, StoreError> {
        let wanted = self.trace.is_some().then(|| item.clone());
        let before = self.held.get(key).and_then(Held::stored).cloned();
        let written = if self.holds(key, &item) {
            self.replace(key, item)?;
            Written::Done { before }
        } else {
            self.units.refused(self.held.get(key));
            Written::Refused { current: before }
        };
        if let Some(item) = wanted {
            self.note(|| Done::Put {
                key: key.clone(),
                item,
                written: written.clone(),
            });
        }
        Ok(written)
    }

    fn write_both(
        &mut self,
        one: (&ItemKey, NewItem),
        other: (&ItemKey, NewItem),
    ) -> Result<bool, StoreError> {
        let written = self.holds(one.0, &one.1) && self.holds(other.0, &other.1);
        let items = [(one.0.clone(), one.1), (other.0.clone(), other.1)];
        for (key, item) in &items {
            if written {
                // Transactions cost double.
                self.replace(key, item.clone())?;
                self.units.again(self.held.get(key));
            } else {
                self.units.refused(self.held.get(key));
                self.units.refused(self.held.get(key));
            }
        }
        self.note(|| Done::PutBoth { items, written });
        Ok(written)
    }

    fn replace(&mut self, key: &ItemKey, item: NewItem) -> Result<(), StoreError> {
        if item.state.len() > LARGEST_ITEM {
            return Err(StoreError::TooLarge { key: key.clone() });
        }
        let stored = Stored {
            version: item.version,
            state: item.state,
        };
        self.insert(key, Held::Item(stored, item.shown));
        Ok(())
    }

    fn insert(&mut self, key: &ItemKey, held: Held) {
        self.change(key);
        self.units.written(key, self.held.get(key), &held);
        self.held.insert(key, held);
    }

    fn page(&mut self, query: &Query) -> Page {
        let from = query.after.as_ref().unwrap_or(&query.from);
        let mut page = Page::default();
        let mut bytes = 0;
        for (sk, held) in self.held.range(&query.pk, from, &query.to) {
            if query.after.as_ref() == Some(sk) {
                continue;
            }
            let is_full = self.page.is_some_and(|most| page.items.len() >= most);
            if is_full || bytes >= LARGEST_PAGE {
                page.next = page.items.last().map(|row: &Row| row.sk.clone());
                break;
            }
            bytes += units::size((&query.pk, sk), held);
            page.items.push(held.row(sk, query.attribute));
        }
        self.units.read(bytes);
        page
    }
}

impl Store for MemoryStore {
    async fn get(&self, key: &ItemKey) -> Result<Option<Stored>, StoreError> {
        answer(self.begin(Call::Read, key).await, key).await?;
        let mut table = lock(&self.table);
        let held = table.held.get(key);
        let bytes = held.map_or(0, |held| units::size((&key.pk, &key.sk), held));
        let found = held.and_then(Held::stored).cloned();
        table.units.read(bytes);
        table.note(|| Done::Get {
            key: key.clone(),
            found: found.clone(),
        });
        Ok(found)
    }

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<Written, StoreError> {
        let fault = self.begin(Call::Write, key).await;
        let mut written = Written::Done { before: None };
        if fault.lets_do() {
            written = lock(&self.table).write(key, item)?;
        }
        self.answer(fault, key).await.map(|()| written)
    }

    async fn put_both(
        &self,
        one: (&ItemKey, NewItem),
        other: (&ItemKey, NewItem),
    ) -> Result<bool, StoreError> {
        let key = one.0;
        let fault = self.begin(Call::Write, key).await;
        let mut written = false;
        if fault.lets_do() {
            written = lock(&self.table).write_both(one, other)?;
        }
        self.answer(fault, key).await.map(|()| written)
    }

    async fn keep(&self, key: &ItemKey, document: Document) -> Result<(), StoreError> {
        let fault = self.begin(Call::Write, key).await;
        if fault.lets_do() {
            let held = Held::Document(document);
            if units::size((&key.pk, &key.sk), &held) > LARGEST_ITEM {
                return Err(StoreError::TooLarge { key: key.clone() });
            }
            let mut table = lock(&self.table);
            table.note(|| {
                let Held::Document(document) = held.clone() else {
                    unreachable!("it is a document");
                };
                Done::Keep {
                    key: key.clone(),
                    document,
                }
            });
            // Writing what is already stored produces no change in a table's stream.
            let is_same = matches!(
                (table.held.get(key), &held),
                (Some(Held::Document(known)), Held::Document(new)) if known == new
            );
            if is_same {
                table.units.again(Some(&held));
            } else {
                table.insert(key, held);
            }
        }
        self.answer(fault, key).await
    }

    async fn delete(&self, key: &ItemKey) -> Result<(), StoreError> {
        let fault = self.begin(Call::Write, key).await;
        if fault.lets_do() {
            let mut table = lock(&self.table);
            let held = table.held.remove(key);
            table.units.again(held.as_ref());
            table.note(|| Done::Delete { key: key.clone() });
        }
        self.answer(fault, key).await
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        let key = ItemKey::new(&query.pk, &query.from);
        answer(self.begin(Call::Read, &key).await, &key).await?;
        let mut table = lock(&self.table);
        let page = table.page(query);
        table.note(|| Done::Query {
            query: query.clone(),
            page: page.clone(),
        });
        Ok(page)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
