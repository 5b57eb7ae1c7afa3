//! The tables as the functions see them: items that replace each other by version or by rank,
//! documents that are put whatever is there, and partitions that are read page by page.
//!
//! [`Store`] is what the fault model mimics. Nothing here knows what an item means.

use std::error::Error;
use std::future::Future;

use domain::state::StateError;
use domain::table::ItemKey;
use domain::tally::Totals;
use domain::time::{UnixMillis, Window};

/// An item as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its version or rank.
    pub version: u64,
    /// See [`domain::state`].
    pub state: Vec<u8>,
}

/// An item as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Its version or rank.
    pub version: u64,
    /// See [`domain::state`].
    pub state: Vec<u8>,
    /// What else the item shows.
    pub shown: Shown,
    /// What must hold for it to be written.
    pub condition: Condition,
}

/// What must hold for an item to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The table holds this version of it; 0 for none.
    Version(u64),
    /// The table holds none of it, or one of a lower version whose state's format is no later than
    /// the new one's: an older release never replaces what a newer one wrote.
    Lower,
}

/// What an item shows besides its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// Totals, for people who read the table.
    pub totals: Option<Totals>,
    /// When the item may go.
    pub expires_at: Option<UnixMillis>,
    /// Place in the index by time.
    pub by_time: Option<(Window, UnixMillis)>,
}

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is done.
    Done {
        /// What it replaced.
        before: Option<Stored>,
    },
    /// Its condition does not hold.
    Refused {
        /// What the table holds.
        current: Option<Stored>,
    },
}

/// A document: the same however often it is put.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Its attributes.
    pub attributes: Vec<(&'static str, Value)>,
    /// When it may go; `None` for never.
    pub expires_at: Option<UnixMillis>,
}

/// The value of a document's attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Which items of a partition are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The partition.
    pub pk: String,
    /// Sort keys from here, included.
    pub from: String,
    /// To here, included.
    pub to: String,
    /// Where to go on: behind this sort key.
    pub after: Option<String>,
    /// The attribute that is read of each; items without it show no bytes.
    pub attribute: &'static str,
}

impl NewItem {
    /// The format of the state, see [`domain::state`]; 0 where it is empty.
    pub fn format(&self) -> u8 {
        self.state.first().copied().unwrap_or(0)
    }
}

impl Query {
    /// The states of the items of a partition between two sort keys, both included.
    pub fn states(pk: impl Into<String>, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self::of(domain::table::attribute::STATE, pk, from, to)
    }

    /// An attribute of the items of a partition between two sort keys, both included.
    pub fn of(
        attribute: &'static str,
        pk: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Self {
        Self {
            pk: pk.into(),
            from: from.into(),
            to: to.into(),
            after: None,
            attribute,
        }
    }
}

/// A page of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The items, in the order of their sort keys.
    pub items: Vec<Row>,
    /// Behind which sort key to go on; `None` at the end.
    pub next: Option<String>,
}

/// An item of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its sort key.
    pub sk: String,
    /// Its version or rank; 0 for a document.
    pub version: u64,
    /// The attribute that was asked for.
    pub bytes: Option<Vec<u8>>,
}

/// What a table refuses.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table does not exist.
    #[error("table `{table}` does not exist")]
    TableMissing {
        /// The table.
        table: String,
    },
    /// A partition or the table takes no more at the moment.
    #[error("table `{table}` is throttled")]
    Throttled {
        /// The table.
        table: String,
        /// What it answered.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The table did not answer, or not in time. Whether a write was done is unknown.
    #[error("table `{table}` is unavailable")]
    Unavailable {
        /// The table.
        table: String,
        /// What it answered.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The item is larger than a table takes.
    #[error("`{}`/`{}` is too large for a table", key.pk, key.sk)]
    TooLarge {
        /// The item.
        key: ItemKey,
    },
    /// An item that this release cannot read.
    #[error("`{}`/`{}` cannot be read", key.pk, key.sk)]
    Unreadable {
        /// The item.
        key: ItemKey,
        /// What is wrong with it.
        source: StateError,
    },
    /// Somebody else wrote first, again and again.
    #[error("`{}`/`{}` is changed by others all the time", key.pk, key.sk)]
    Contended {
        /// The item.
        key: ItemKey,
    },
    /// There is no time left to do it in.
    #[error("there is no time left")]
    OutOfTime,
}

impl StoreError {
    /// The item that is the reason, where no retry will change that: it is parked, and everything
    /// else goes on.
    pub const fn parked(&self) -> Option<&ItemKey> {
        match self {
            Self::TooLarge { key } | Self::Unreadable { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// A table. Every read sees every write that was acknowledged before.
pub trait Store: Send + Sync {
    /// Reads an item.
    fn get(&self, key: &ItemKey)
    -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Writes an item if its condition holds.
    fn put(
        &self,
        key: &ItemKey,
        item: NewItem,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Writes two items of different keys, both or neither; says whether both conditions held.
    fn put_both(
        &self,
        one: (&ItemKey, NewItem),
        other: (&ItemKey, NewItem),
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Writes a document, whatever was there.
    fn keep(
        &self,
        key: &ItemKey,
        document: Document,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes whatever is there.
    fn delete(&self, key: &ItemKey) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads a page of a partition.
    fn query(&self, query: &Query) -> impl Future<Output = Result<Page, StoreError>> + Send;
}

impl<S: Store> Store for &S {
    async fn get(&self, key: &ItemKey) -> Result<Option<Stored>, StoreError> {
        (**self).get(key).await
    }

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<Written, StoreError> {
        (**self).put(key, item).await
    }

    async fn put_both(
        &self,
        one: (&ItemKey, NewItem),
        other: (&ItemKey, NewItem),
    ) -> Result<bool, StoreError> {
        (**self).put_both(one, other).await
    }

    async fn keep(&self, key: &ItemKey, document: Document) -> Result<(), StoreError> {
        (**self).keep(key, document).await
    }

    async fn delete(&self, key: &ItemKey) -> Result<(), StoreError> {
        (**self).delete(key).await
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        (**self).query(query).await
    }
}

/// A sort key after every other that starts with `prefix`.
pub fn after(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

/// Reads all pages of a query.
pub async fn all<S: Store>(store: &S, mut query: Query) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    loop {
        let page = store.query(&query).await?;
        rows.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(rows),
        }
    }
}

/// An item that cannot be read.
pub fn unreadable(key: &ItemKey) -> impl FnOnce(StateError) -> StoreError + use<> {
    let key = key.clone();
    |source| StoreError::Unreadable { key, source }
}
