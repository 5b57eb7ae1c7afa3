//! [`Store`] in memory, with the conditions of the real one, and with faults on demand: what the
//! tests of everything above a table run on.
//!
//! A store can be *paced*: each call then stands still before it is done, and each write once more
//! before it is answered, so that a test that polls several callers by hand decides who goes on,
//! and who dies there. Nothing here waits for time.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};

use crate::store::{Document, NewItem, Shown, Store, StoreError, Stored, Value};

/// Bytes that no item exceeds
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>).
const LARGEST_ITEM: usize = 400 * 1024;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it succeeds or fails by itself.
    None,
    /// It is refused before it does anything.
    Refused,
    /// The table is not there.
    Missing,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// It is not done and never answered: whoever waits dies waiting.
    Hangs,
    /// It is done and never answered.
    DoneAndHangs,
}

impl Fault {
    const fn lets_do(self) -> bool {
        matches!(self, Self::None | Self::AnswerLost | Self::DoneAndHangs)
    }
}

/// Which call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A read.
    Get,
    /// A write.
    Put,
}

/// A change of an item, as a table's stream reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The item.
    pub key: ItemKey,
    /// The item before; `None` where it was not there.
    pub old: Option<Stored>,
    /// The item after.
    pub new: Stored,
}

/// A call that was done, and what became of it: what another table must do and answer likewise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// An item was read.
    Get {
        /// Which.
        key: ItemKey,
        /// What was there.
        found: Option<Stored>,
    },
    /// An item was written, or its condition not met.
    Put {
        /// Which.
        key: ItemKey,
        /// What was to be written.
        item: NewItem,
        /// Whether somebody else had written first.
        conflict: bool,
    },
    /// A document was written.
    Keep {
        /// Which.
        key: ItemKey,
        /// What was written.
        document: Document,
    },
    /// Items of a partition were read.
    Partition {
        /// The partition.
        pk: String,
        /// From this sort key on.
        from: String,
        /// To this.
        to: String,
        /// What was there.
        found: Vec<(String, Stored)>,
    },
    /// An item or document was deleted, its time being over.
    Expire {
        /// Which.
        key: ItemKey,
    },
}

/// Where paced callers stand still.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<AtomicU64>);

impl Pace {
    /// Times that anybody has stood still: who pends without standing still waits for time.
    pub fn stops(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Stands still until polled again.
    pub async fn stop(&self) {
        let mut stopped = false;
        poll_fn(|context| {
            if stopped {
                return Poll::Ready(());
            }
            stopped = true;
            self.0.fetch_add(1, Ordering::Relaxed);
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// DynamoDB refuses an item that is larger.
fn is_bearable(bytes: usize) -> Result<(), StoreError> {
    if bytes <= LARGEST_ITEM {
        return Ok(());
    }
    Err(StoreError::Unavailable {
        table: "memory".to_owned(),
        source: format!("{bytes} bytes are more than an item has").into(),
    })
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Number(_) => size_of::<u64>(),
        Value::Bytes(bytes) => bytes.len(),
    }
}

type Faults = Box<dyn FnMut(Call, &ItemKey) -> Fault + Send>;

#[derive(Default)]
struct Table {
    items: BTreeMap<ItemKey, (Stored, Shown)>,
    documents: BTreeMap<ItemKey, Document>,
    /// Partitions whose changes are kept, by the start of their key.
    journalled: Option<&'static str>,
    journal: Vec<Change>,
    /// What was done, where anybody wants to know.
    trace: Option<Vec<Done>>,
}

/// A table in memory; its clones are the same table.
#[derive(Clone, Default)]
pub struct MemoryStore {
    table: Arc<Mutex<Table>>,
    faults: Arc<Mutex<Option<Faults>>>,
    pace: Option<Pace>,
}

impl MemoryStore {
    /// An empty table whose callers stand still by `pace`, and which keeps the changes of the
    /// partitions that start with `journalled`.
    pub fn paced(pace: Pace, journalled: Option<&'static str>) -> Self {
        let table = Table {
            journalled,
            ..Table::default()
        };
        Self {
            table: Arc::new(Mutex::new(table)),
            faults: Arc::default(),
            pace: Some(pace),
        }
    }

    /// From here on, `faults` decides what happens to each call.
    pub fn inject(&self, faults: impl FnMut(Call, &ItemKey) -> Fault + Send + 'static) {
        *lock(&self.faults) = Some(Box::new(faults));
    }

    /// From here on, what is done is remembered.
    pub fn trace(&self) {
        lock(&self.table).trace = Some(Vec::new());
    }

    /// What was done since [`trace`](Self::trace), in order.
    pub fn traced(&self) -> Vec<Done> {
        lock(&self.table).trace.take().unwrap_or_default()
    }

    /// Every item, in the order of keys.
    pub fn items(&self) -> Vec<(ItemKey, Stored)> {
        let table = lock(&self.table);
        let items = table.items.iter();
        items
            .map(|(key, (stored, _))| (key.clone(), stored.clone()))
            .collect()
    }

    /// Every document, in the order of keys.
    pub fn documents(&self) -> Vec<(ItemKey, Document)> {
        let table = lock(&self.table);
        let documents = table.documents.iter();
        documents
            .map(|(key, document)| (key.clone(), document.clone()))
            .collect()
    }

    /// Shows every item, in the order of keys.
    pub fn each_item(&self, mut show: impl FnMut(&ItemKey, &Stored)) {
        let table = lock(&self.table);
        table
            .items
            .iter()
            .for_each(|(key, (stored, _))| show(key, stored));
    }

    /// Shows every document, in the order of keys.
    pub fn each_document(&self, mut show: impl FnMut(&ItemKey, &Document)) {
        let table = lock(&self.table);
        table
            .documents
            .iter()
            .for_each(|(key, document)| show(key, document));
    }

    /// Writes an item as [`Store::put`] does, whatever the faults.
    pub fn plant(&self, key: &ItemKey, item: NewItem) -> Result<(), StoreError> {
        lock(&self.table).write(key, item)
    }

    /// The item under `key`, whatever the faults.
    pub fn peek(&self, key: &ItemKey) -> Option<Stored> {
        let table = lock(&self.table);
        table.items.get(key).map(|(stored, _)| stored.clone())
    }

    /// The changes kept since the last time, in the order of their writes.
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut lock(&self.table).journal)
    }

    /// Deletes what may go at `now`, as `DynamoDB` does sooner or later; says which items those were.
    pub fn expire(&self, now: UnixMillis) -> Vec<(ItemKey, Stored)> {
        let gone = |at: Option<UnixMillis>| at.is_some_and(|at| at <= now);
        let mut table = lock(&self.table);
        let documents = std::mem::take(&mut table.documents);
        let (expired, kept): (BTreeMap<_, _>, _) = documents
            .into_iter()
            .partition(|(_, document)| gone(document.expires_at));
        table.documents = kept;
        for key in expired.into_keys() {
            table.note(|| Done::Expire { key });
        }
        let items = std::mem::take(&mut table.items);
        let (gone, kept): (BTreeMap<_, _>, _) = items
            .into_iter()
            .partition(|(_, (_, shown))| gone(shown.expires_at));
        table.items = kept;
        for key in gone.keys() {
            table.note(|| Done::Expire { key: key.clone() });
        }
        gone.into_iter()
            .map(|(key, (stored, _))| (key, stored))
            .collect()
    }

    /// Lets `faults` decide, after standing still.
    async fn begin(&self, call: Call, key: &ItemKey) -> Fault {
        if let Some(pace) = &self.pace {
            pace.stop().await;
        }
        lock(&self.faults)
            .as_mut()
            .map_or(Fault::None, |faults| faults(call, key))
    }

    /// Answers a write.
    async fn answer(&self, fault: Fault) -> Result<(), StoreError> {
        if let Some(pace) = &self.pace {
            pace.stop().await;
        }
        answer(fault).await
    }
}

/// What is heard of a call.
async fn answer(fault: Fault) -> Result<(), StoreError> {
    match fault {
        Fault::None => Ok(()),
        Fault::Refused | Fault::AnswerLost => Err(StoreError::Unavailable {
            table: "memory".to_owned(),
            source: "injected".into(),
        }),
        Fault::Missing => Err(StoreError::TableMissing {
            table: "memory".to_owned(),
        }),
        Fault::Hangs | Fault::DoneAndHangs => pending().await,
    }
}

impl Table {
    fn note(&mut self, done: impl FnOnce() -> Done) {
        if let Some(trace) = &mut self.trace {
            trace.push(done());
        }
    }

    fn write(&mut self, key: &ItemKey, item: NewItem) -> Result<(), StoreError> {
        let wanted = self.trace.is_some().then(|| item.clone());
        let written = self.try_write(key, item);
        if let Some(item) = wanted {
            self.note(|| Done::Put {
                key: key.clone(),
                item,
                conflict: matches!(written, Err(StoreError::Conflict { .. })),
            });
        }
        written
    }

    fn try_write(&mut self, key: &ItemKey, item: NewItem) -> Result<(), StoreError> {
        let known = self.items.get(key).map(|(stored, _)| stored);
        if known.map_or(0, |stored| stored.version) + 1 != item.version {
            return Err(StoreError::Conflict { key: key.clone() });
        }
        is_bearable(item.state.len())?;
        let stored = Stored {
            version: item.version,
            state: item.state,
        };
        if self
            .journalled
            .is_some_and(|start| key.pk.starts_with(start))
        {
            self.journal.push(Change {
                key: key.clone(),
                old: known.cloned(),
                new: stored.clone(),
            });
        }
        self.items.insert(key.clone(), (stored, item.shown));
        Ok(())
    }
}

impl Store for MemoryStore {
    async fn get(&self, key: &ItemKey) -> Result<Option<Stored>, StoreError> {
        answer(self.begin(Call::Get, key).await).await?;
        let mut table = lock(&self.table);
        let found = table.items.get(key).map(|(stored, _)| stored.clone());
        table.note(|| Done::Get {
            key: key.clone(),
            found: found.clone(),
        });
        Ok(found)
    }

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<(), StoreError> {
        let fault = self.begin(Call::Put, key).await;
        if fault.lets_do() {
            lock(&self.table).write(key, item)?;
        }
        self.answer(fault).await
    }

    async fn keep(&self, key: &ItemKey, document: Document) -> Result<(), StoreError> {
        let fault = self.begin(Call::Put, key).await;
        if fault.lets_do() {
            is_bearable(
                document
                    .attributes
                    .iter()
                    .map(|(_, value)| size(value))
                    .sum(),
            )?;
            let mut table = lock(&self.table);
            table.note(|| Done::Keep {
                key: key.clone(),
                document: document.clone(),
            });
            table.documents.insert(key.clone(), document);
        }
        self.answer(fault).await
    }

    async fn partition(
        &self,
        pk: &str,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        let mut table = lock(&self.table);
        let range = ItemKey::new(pk, from)..=ItemKey::new(pk, to);
        let items = table.items.range(range);
        let found: Vec<(String, Stored)> = items
            .map(|(key, (stored, _))| (key.sk.clone(), stored.clone()))
            .collect();
        table.note(|| Done::Partition {
            pk: pk.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            found: found.clone(),
        });
        Ok(found)
    }

    async fn by_time(
        &self,
        window: Window,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        let table = lock(&self.table);
        let mut found: Vec<(String, Stored)> = table
            .items
            .values()
            .filter_map(|(stored, shown)| {
                let (of, start) = shown.by_time?;
                let label = of.label(start);
                let wanted = of == window && (from..=to).contains(&label.as_str());
                wanted.then(|| (label, stored.clone()))
            })
            .collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
